"""The address of the Ray cluster that a search joins: found, and refused before Ray tries it."""

import os
import re
import socket

from ray._private import services

from command_line import UsageError
from tuning.options import SearchOptions

NOT_JOINED = "no Ray cluster can be joined there"

DASHBOARD = "that is a dashboard's address, which ray job submit takes"
OTHER_SCHEMES = {
    "http": DASHBOARD,
    "https": DASHBOARD,
    "ray": "a search does not run through Ray Client",
}
HOST_PORT = r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<four>[^\s:/\[\]]+)):(?P<port>[0-9]{1,5})"


def address_of(options: SearchOptions) -> tuple[str, str] | None:
    """The option or variable that gave the cluster's address, and the address; None: join none.

    "auto" is RAY_ADDRESS, or the cluster that ``ray start`` made on this machine: Ray itself would
    also join the private Ray of another search. Raises UsageError if there is no such cluster.
    """
    source, address = "--address", options.address or ""
    environment = os.environ.get("RAY_ADDRESS", "").strip()
    if environment and address in ("", "auto"):
        source, address = "RAY_ADDRESS", environment
    if address == "auto":
        address = services.find_bootstrap_address(None) or ""
        if not address:
            raise UsageError(
                f"{source} auto: no Ray cluster was started on this machine. Start one with"
                f" ray start --head, give host:port, or leave {source} out"
            )
    return None if address in ("", "local") else (source, address)


def check_address(source: str, address: str) -> None:
    """Raise UsageError if no search can join ``address``, or if nothing answers there."""
    scheme, found, _ = address.partition("://")
    if found:
        hint = OTHER_SCHEMES.get(scheme.lower(), f"{scheme}:// is unknown")
        raise UsageError(
            f"{source} {address}: {hint}. Give the host and port of the cluster itself,"
            " such as 10.0.0.1:6379"
        )
    match = re.fullmatch(HOST_PORT, address)
    if not match or not 1 <= int(match["port"]) <= 65535:
        raise UsageError(
            f"{source} takes host:port with a port from 1 to 65535, [IPv6]:port, auto or local,"
            f" got {address}"
        )
    place = match["six"] or match["four"], int(match["port"])
    try:
        with socket.create_connection(place, timeout=5) as connection:
            speaks = _speaks_http2(connection)
    except (OSError, UnicodeError) as error:
        raise UsageError(f"{source} {address}: {NOT_JOINED}: {error}") from None
    if not speaks and os.environ.get("RAY_USE_TLS", "0") == "0":
        raise UsageError(f"{source} {address}: {NOT_JOINED}: another program listens at that port")


def _speaks_http2(connection: socket.socket) -> bool:
    """Whether an HTTP/2 server, such as Ray's control store, answers (RFC 9113, 3.4 and 4.1).

    Ray itself would try for many minutes to join another program. Raises TimeoutError if nothing is
    answered.
    """
    connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
    header = connection.recv(9, socket.MSG_WAITALL)
    return len(header) == 9 and header[3] == 4 and header[5:] == bytes(4)
