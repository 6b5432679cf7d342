"""A real PostgreSQL server on this machine's loopback, started and stopped by a test."""

import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import psycopg

PASSWORD = "pä@s:s/w#r d%41"


def find_postgres() -> Path | None:
    """PostgreSQL's programs, from Debian's packages or from PATH."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    found = str(installed[-1]) if installed else shutil.which("postgres")
    return Path(found).parent if found else None


class Postgres:
    """A server that asks the user ``tester`` for a password, with a folder of its own."""

    def __init__(self, programs: Path) -> None:
        self.programs, self.password = programs, PASSWORD
        self.user = "nobody" if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
        self.folder = Path(tempfile.mkdtemp(prefix="postgres-"))
        (self.folder / "password").write_text(PASSWORD, encoding="utf-8")
        if self.user:
            shutil.chown(self.folder, self.user)
            shutil.chown(self.folder / "password", self.user)
        create = [
            "-D",
            f"{self.folder}/data",
            "-U",
            "tester",
            f"--pwfile={self.folder}/password",
            "-A",
            "scram-sha-256",
        ]
        create += ["--no-sync", "--encoding=UTF8", "--locale=C"]
        subprocess.run(
            [f"{programs}/initdb", *create],
            user=self.user,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.start()

    def start(self) -> None:
        options = ["-D", f"{self.folder}/data", "-p", str(self.port), "-k", str(self.folder)]
        options += ["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
        with (self.folder / "log").open("ab") as log:
            program = [f"{self.programs}/postgres", *options]
            self.server = subprocess.Popen(
                program, user=self.user, cwd=self.folder, stdout=log, stderr=log
            )
        ready = [f"{self.programs}/pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        while subprocess.run(ready, check=False).returncode and self.server.poll() is None:
            pass
        assert self.server.poll() is None, (self.folder / "log").read_text(encoding="utf-8")

    def stop(self) -> None:
        """At once, as a crash or an impatient administrator does: connections are cut."""
        self.server.send_signal(3)  # SIGQUIT
        self.server.wait(timeout=30)

    def remove(self) -> None:
        if self.server.poll() is None:
            self.stop()
        shutil.rmtree(self.folder)

    def url(self, password: str) -> str:
        """Its URL with ``password`` as it is to stand there."""
        return f"postgresql://tester:{password}@127.0.0.1:{self.port}/postgres"

    def query(self, statement: str) -> list[Any]:
        """The rows that a statement returns."""
        place = {"host": "127.0.0.1", "port": self.port, "dbname": "postgres"}
        with psycopg.connect(user="tester", password=self.password, **place) as connection:
            return connection.execute(statement.encode()).fetchall()
