"""An S3 server on this machine, and what may stand between it and a search."""

import contextlib
import logging
import socket
import threading
import urllib.request
from collections.abc import Iterator

import pytest
from moto.server import ThreadedMotoServer

VARIABLES = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "a/secret+of=tests",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""What a search at the server needs in its environment."""
BUCKET = "bucket"


class S3:
    """The server with an empty bucket. Its state is lost when it ends."""

    def __init__(self) -> None:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._server.start()
        self.address: tuple[str, int] = self._server.get_host_and_port()
        request = urllib.request.Request(f"{self.endpoint}/{BUCKET}", method="PUT")
        urllib.request.urlopen(request).close()

    @property
    def endpoint(self) -> str:
        return "http://{}:{}".format(*self.address)

    def uri(self, path: str, address: tuple[str, int] | None = None) -> str:
        """A URI in the bucket that needs no variable for the endpoint."""
        host, port = address or self.address
        return f"s3://{BUCKET}/{path}?endpoint_override={host}:{port}&scheme=http"

    def end(self) -> None:
        self._server.stop()


@contextlib.contextmanager
def s3_server() -> Iterator[S3]:
    """The server, with its ``VARIABLES`` in the environment, until the body ends."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in VARIABLES.items():
            patch.setenv(name, value)
        started = S3()
        try:
            yield started
        finally:
            started.end()


class Proxy:
    """A way to an address that can be cut: connections are then refused and those that are open
    end."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._listener.getsockname()
        self._serve()

    def cut(self) -> None:
        # A thread in accept() keeps a closed socket listening: shutdown ends both.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in [*self._open]:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        self._listener = socket.create_server(self.address)
        self._serve()

    def _serve(self) -> None:
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection(self._target)
                self._open |= {client, server}
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(target=self._pipe, args=(source, sink), daemon=True).start()

    def _pipe(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for one in (source, sink):
            self._open.discard(one)
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
