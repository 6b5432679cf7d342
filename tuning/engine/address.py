"""The address of the Ray cluster that a search joins: found, and refused before Ray tries it."""

import os
import re
import socket

from ray._private import services

from command_line import UsageError
from tuning.options import SearchOptions


def address_of(options: SearchOptions) -> tuple[str, str] | None:
    """Where the search runs and what says so: --address or RAY_ADDRESS; None for this machine.

    "local" and nothing are this machine. "auto" is RAY_ADDRESS, or the cluster that ``ray start``
    made on this machine: Ray itself would also join the private Ray of another search. Raises
    UsageError if there is no such cluster.
    """
    given, environment = options.address or "", os.environ.get("RAY_ADDRESS", "").strip()
    source, address = (
        ("RAY_ADDRESS", environment)
        if environment and given in ("", "auto")
        else ("--address", given)
    )
    if address == "auto":
        cluster = services.find_bootstrap_address(None)
        if not cluster:
            raise UsageError(
                f"{source} auto: no Ray cluster was started on this machine. Start one with ray start --head, give host:port,"
                f" or leave {source} out"
            )
        address = cluster
    return None if address in ("", "local") else (source, address)


def check_address(source: str, address: str) -> None:
    """Raise UsageError if ``address`` is none that a search can join, or if nothing answers there."""
    scheme, found, _ = address.partition("://")
    if found:
        hint = {
            "http": "that is a dashboard's address, which ray job submit takes",
            "https": "that is a dashboard's address, which ray job submit takes",
            "ray": "a search does not run through Ray Client",
        }.get(scheme.lower(), f"{scheme}:// is unknown")
        raise UsageError(
            f"{source} {address}: {hint}. Give the host and port of the cluster itself, such as 10.0.0.1:6379"
        )
    match = re.fullmatch(
        r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<four>[^\s:/\[\]]+)):(?P<port>[0-9]{1,5})", address
    )
    if not match or not 1 <= int(match["port"]) <= 65535:
        raise UsageError(
            f"{source} takes host:port with a port from 1 to 65535, [IPv6]:port, auto or local, got {address}"
        )
    try:
        with socket.create_connection(
            (match["six"] or match["four"], int(match["port"])), timeout=5
        ) as connection:
            speaks = _speaks_http2(connection)
    except (OSError, UnicodeError) as error:
        raise UsageError(
            f"{source} {address}: no Ray cluster can be joined there: {error}"
        ) from None
    if not speaks and os.environ.get("RAY_USE_TLS", "0") == "0":
        raise UsageError(
            f"{source} {address}: no Ray cluster can be joined there: another program listens at that port"
        )


def _speaks_http2(connection: socket.socket) -> bool:
    """Whether an HTTP/2 server, as Ray's control store is one, answers: with a frame of settings
    (RFC 9113, 3.4 and 4.1).

    Ray itself would try for many minutes to join another program. Raises TimeoutError if nothing is
    answered.
    """
    connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
    header = connection.recv(9, socket.MSG_WAITALL)
    return len(header) == 9 and header[3] == 4 and header[5:] == bytes(4)
