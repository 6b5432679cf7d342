"""The folders that a search needs on this machine: its run directory, Ray's folder for sockets and
logs, and the file with this user's token for Ray.
"""

import os
import secrets
import shutil
import stat
import sys
import tempfile
from pathlib import Path

from rich.filesize import decimal

from command_line import UsageError

MB = 10**6

SOCKET_PATH_BYTES = 107 if sys.platform.startswith("linux") else 103
"""The longest path of a Unix socket: ``sun_path`` of ``man 7 unix`` without its final zero byte."""
LONGEST_SOCKET = "/session_2026-12-31_23-59-59_999999_4194304/sockets/plasma_store"
"""What Ray appends to its folder for the socket with the longest path."""
RAY_FOLDER_BYTES = 100 * MB
"""Free space that Ray's folder needs for logs and for objects that no longer fit in memory."""
PROBE_BYTES = MB
OTHER_STORAGE = "choose another --storage-path"


def check_folder(folder: Path, needed: float, remedy: str = OTHER_STORAGE) -> None:
    """Raise UsageError if ``folder``, which may not exist yet, cannot hold ``needed`` bytes. Its
    message ends with the ``remedy``.

    To find out, a file of 1 MB is written in the nearest folder that exists. The file has no name,
    so nothing is left even if this process is killed.
    """
    try:
        existing = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
        names = folder.relative_to(existing).parts
        longest = max((len(os.fsencode(name)) for name in names), default=0)
        problem = _problem(existing, needed)
        if problem is None and longest > os.pathconf(existing, "PC_NAME_MAX"):
            problem = f"a name of {longest} bytes is too long there"
    except OSError as error:
        problem = error.strerror
    if problem:
        raise UsageError(
            f"no run can be kept in {existing}: {problem}. Make room there or allow writing,"
            f" or {remedy}"
        )


def ray_folder() -> Path:
    """The folder for Ray's sockets and logs: Ray's default, or a folder of this user's if the
    default cannot be used.

    Ray's default follows TMPDIR, which may be missing, full, read-only, or too long for the path of
    a socket. Raises UsageError if no folder can be used.
    """
    chosen = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"
    bases = ["/tmp", "/var/tmp", os.environ.get("XDG_RUNTIME_DIR"), "/dev/shm"]
    problems = {}
    for base in (Path(chosen).absolute(), *(_own_folder(base) for base in bases if base)):
        problem = _ray_problem(base)
        if problem is None:
            return base / "ray"
        problems[base] = problem
    causes = "; ".join(f"{folder}: {problem}" for folder, problem in problems.items())
    raise UsageError(
        f"Ray has no folder for its sockets and logs ({causes}): set RAY_TMPDIR to a folder with a"
        " short path in which you can write"
    )


def token_file() -> Path:
    """The file with this user's token for Ray, made if missing: in ~/.ray as Ray itself does, or in
    a private folder if nothing can be written there.

    Raises UsageError if no folder can hold a token.
    """
    home, runtime = os.environ.get("HOME"), os.environ.get("XDG_RUNTIME_DIR")
    folders = [Path(home) / ".ray"] if home else []
    folders += [_own_folder(base) for base in (runtime, tempfile.gettempdir()) if base]
    causes = []
    for folder in folders:
        try:
            make_own(folder) if folder.name != ".ray" else folder.mkdir(mode=0o700, exist_ok=True)
            return _written_token(folder / "auth_token")
        except (OSError, ValueError) as error:
            causes.append(f"{folder}: {getattr(error, 'strerror', None) or error}")
    raise UsageError(
        f"Ray's token cannot be stored ({'; '.join(causes)}): set HOME to a folder in which you can"
        " write"
    )


def _written_token(file: Path) -> Path:
    """``file``, with a new token if it holds none. Only this user can read a new token."""
    if not (file.exists() and file.read_text(encoding="utf-8").strip()):
        new = file.with_name(f"{file.name}.{os.getpid()}")
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as content:
            content.write(secrets.token_hex(32))
        new.replace(file)
    return file


def _own_folder(base: str) -> Path:
    """This user's folder in ``base``, which all users may share. Ray lets all users into its own
    folder, so that one is made inside this one."""
    return Path(base) / f"ray-{os.geteuid()}"


def make_own(folder: Path) -> None:
    """Make a folder that only this user can enter. Raises PermissionError if another user can write
    in a folder of that name."""
    folder.mkdir(mode=0o700, exist_ok=True)
    _check_own(folder)


def _check_own(folder: Path) -> None:
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise PermissionError(None, "it is not a folder in which this user alone can write")


def _ray_problem(base: Path) -> str | None:
    """Why Ray cannot have its folder in ``base``, or None if it can. A missing ``base`` can be made
    only if it is this user's own folder."""
    folder, own = base / "ray", base.name == _own_folder("").name
    if len(os.fsencode(folder)) + len(LONGEST_SOCKET) > SOCKET_PATH_BYTES:
        return "its path is too long for a socket"
    try:
        if own and os.path.lexists(base):
            _check_own(base)
        existing = folder if folder.exists() else base.parent if own and not base.exists() else base
        return _problem(existing, RAY_FOLDER_BYTES)
    except OSError as error:
        return error.strerror


def _problem(folder: Path, needed: float) -> str | None:
    """Why ``folder`` cannot hold ``needed`` bytes more, or None if it can."""
    try:
        total, _, free = shutil.disk_usage(folder)
        if free >= needed or not total:  # some file systems report a size of 0
            with tempfile.TemporaryFile(dir=folder) as probe:
                probe.write(bytes(PROBE_BYTES))
                probe.flush()
                os.fsync(probe.fileno())
            return None
    except OSError as error:
        return f"no file can be written there ({error.strerror})"
    return f"{decimal(int(needed))} of disk are needed and {decimal(free)} are free"
