"""A real Prometheus on this machine's loopback, started and stopped by a test."""

import json
import shutil
import socket
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path
from types import TracebackType

import pytest

Sample = tuple[dict[str, str], float]
"""A time series' labels and its latest value."""


class Prometheus:
    """A server with a configuration, as docs/watching.md starts it."""

    def __init__(self, config: Path, folder: Path) -> None:
        program = shutil.which("prometheus")
        if program is None:
            pytest.skip("Prometheus is not installed: no prometheus in PATH")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        listen = f"--web.listen-address={self.address}"
        place = [f"--config.file={config}", f"--storage.tsdb.path={folder}/data", listen]
        with (folder / "log").open("wb") as log:
            self.server = subprocess.Popen([program, *place], stdout=log, stderr=log)

    def __enter__(self) -> "Prometheus":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.server.terminate()
        self.server.wait(timeout=30)

    def query(self, expression: str) -> list[Sample]:
        """What an expression is now. Raises an HTTPError if it is not PromQL, and a URLError while
        the server starts.

        Source: https://prometheus.io/docs/prometheus/latest/querying/api/
        """
        asked = urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(
            f"http://{self.address}/api/v1/query?{asked}", timeout=10
        ) as page:
            answer = json.load(page)
        assert answer["status"] == "success", answer
        return [(one["metric"], float(one["value"][1])) for one in answer["data"]["result"]]
