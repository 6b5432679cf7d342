"""What this machine can carry, found out before a search starts: cores, memory, open files,
processes, and folders.

A process in a container may use less than the machine has. Its control group, or one above it, may
have a quota of CPU time, of memory or of processes. Versions 1 and 2 are read as they lie under
/proc and /sys/fs/cgroup: https://docs.kernel.org/admin-guide/cgroup-v2.html. Nothing here imports
Ray.
"""

import math
import os
import resource
import secrets
import shutil
import stat
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from command_line import UsageError

MB = 10**6
ROOT = Path("/")

SOCKET_PATH_BYTES = 107 if sys.platform.startswith("linux") else 103
"""The longest path of a Unix socket: ``sun_path`` of ``man 7 unix``, without its final zero byte."""
LONGEST_SOCKET = "/session_2026-12-31_23-59-59_999999_4194304/sockets/plasma_store"
"""What Ray appends to its folder for the longest of its sockets."""
RAY_FOLDER_BYTES = 100 * MB
"""Free space that Ray's folder needs for logs and for objects that leave memory."""
PROBE_BYTES = MB

RAY_FILES, WORKER_FILES = 128, 16
"""File descriptors that Ray's busiest process opens by itself, and for each worker process. Measured with Ray 2.60."""
RAY_THREADS, DASHBOARD_THREADS, WORKER_THREADS = 200, 200, 25
"""Threads of Ray's own processes, of its dashboard, and of each worker process. Measured with Ray 2.60."""


@dataclass(frozen=True)
class Cores:
    """CPU cores that this process may use.

    Attributes:
        usable: Whole cores, at least 1.
        present: Cores that the scheduler may put this process on.
    """

    usable: int
    present: int

    def __str__(self) -> str:
        if self.usable < self.present:
            return f"{self.usable} of {self.present} cores, by the container's CPU quota"
        return f"{self.usable} core{'s' * (self.usable > 1)}"


def usable_cores(root: Path = ROOT) -> Cores:
    """The cores of this process's CPU affinity, or fewer if a control group's quota of CPU time is
    less.

    Args:
        root: The folder under which ``proc`` and ``sys/fs/cgroup`` are read.
    """
    present = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    quotas = [present * 1.0]
    for group in _control_groups("cpu", root):
        bound = _numbers(group / "cpu.max") or _numbers(group / "cpu.cfs_quota_us") + _numbers(
            group / "cpu.cfs_period_us"
        )
        if len(bound) == 2 and min(bound) > 0:  # a quota of -1 is none
            quotas.append(bound[0] / bound[1])
    return Cores(max(1, int(min(quotas) + 1e-9)), present)


def free_memory(root: Path = ROOT) -> float:
    """Bytes of memory that new processes can have: the machine's, or fewer by a control group's limit."""
    free = [_present_memory(root)]
    for group in _control_groups("memory", root):
        limit = _numbers(group / "memory.max") or _numbers(group / "memory.limit_in_bytes")
        used = _numbers(group / "memory.current") or _numbers(group / "memory.usage_in_bytes")
        if limit and used:
            free.append(limit[0] - used[0] + _reclaimable(group / "memory.stat"))
    return max(0.0, min(free))


def free_processes(root: Path = ROOT) -> float:
    """Processes and threads that this user can still start; infinite if nothing bounds them."""
    free = [math.inf]
    for group in _control_groups("pids", root):
        limit, used = _numbers(group / "pids.max"), _numbers(group / "pids.current")
        if limit and used:
            free.append(limit[0] - used[0])
    most, user = resource.getrlimit(resource.RLIMIT_NPROC)[1], os.getuid()
    if most != resource.RLIM_INFINITY and user != 0:  # root is exempt
        free.append(most - _threads_of(user, root))
    return min(free)


def check_limits(workers: int, dashboard: bool, root: Path = ROOT) -> None:
    """Raise UsageError if this user may not open the files or start the processes that Ray needs for ``workers``."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[
        1
    ]  # Ray raises the soft limit to the hard one
    needed = RAY_FILES + WORKER_FILES * workers
    if files != resource.RLIM_INFINITY and files < needed:
        raise UsageError(
            f"this user may open {files} files and Ray needs {needed}: raise the limit with ulimit -n {needed},"
            " or lower --max-concurrent"
        )
    processes, needed = (
        free_processes(root),
        RAY_THREADS + DASHBOARD_THREADS * dashboard + WORKER_THREADS * workers,
    )
    if processes < needed:
        raise UsageError(
            f"this user may start {max(0, int(processes)):,} more processes and threads and Ray needs {needed:,}: raise the"
            " limit (ulimit -u, or the container's limit of pids), add --no-dashboard, or lower --max-concurrent"
        )


def check_folder(folder: Path, needed: float) -> None:
    """Raise UsageError if ``folder``, made where it is missing, could not hold files of ``needed``
    bytes.

    A file of 1 MB is written in the nearest folder that exists. It has no name, so a kill leaves
    nothing behind.
    """
    try:
        existing = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
        longest = max(
            (len(os.fsencode(part)) for part in folder.relative_to(existing).parts), default=0
        )
        problem = _problem(existing, needed)
        if problem is None and longest > os.pathconf(existing, "PC_NAME_MAX"):
            problem = f"a name of {longest} bytes is too long there"
    except OSError as error:
        problem = error.strerror
    if problem:
        raise UsageError(
            f"no run can be kept in {existing}: {problem}. Make room there, or choose another --storage-path"
        )


def ray_folder() -> Path:
    """The folder for Ray's sockets and logs: Ray's own choice, or a folder of this user's if that
    would not do.

    Ray's choice follows TMPDIR, which may be too long for a socket, missing, full or read-only.
    Raises UsageError if no folder is left.
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
        f"Ray has no folder for its sockets and logs ({causes}): set RAY_TMPDIR to a folder with a short path"
    )


def token_file() -> Path:
    """The file with this user's token for Ray, made if missing: Ray's own in ~/.ray, or one in a
    private folder.

    Ray's own place needs a home folder that can be written to. Raises UsageError if no folder can
    hold a token.
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
        f"Ray's token cannot be kept ({'; '.join(causes)}): set HOME to a folder of yours that can be written"
    )


def _written_token(file: Path) -> Path:
    """``file``, with a new token if it holds none; nobody else may read it."""
    if not (file.exists() and file.read_text(encoding="utf-8").strip()):
        new = file.with_name(f"{file.name}.{os.getpid()}")
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as content:
            content.write(secrets.token_hex(32))
        new.replace(file)
    return file


def _own_folder(base: str) -> Path:
    """This user's folder in one that all users share. Ray opens its own folder to all, so that is made inside this one."""
    return Path(base) / f"ray-{os.geteuid()}"


def make_own(folder: Path) -> None:
    """Make a folder that only this user can enter. Raises PermissionError if one of that name is somebody else's."""
    folder.mkdir(mode=0o700, exist_ok=True)
    _check_own(folder)


def _check_own(folder: Path) -> None:
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise PermissionError(None, "it is not a folder that this user alone can write")


def _ray_problem(base: Path) -> str | None:
    """Why Ray cannot have its folder in ``base``, which is missing only if it is this user's own; None if it can."""
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
    """Why no file can be written in ``folder``, or too little space is free there; None if all is well."""
    try:
        total, _, free = shutil.disk_usage(folder)
        if free >= needed or not total:  # some file systems do not count
            with tempfile.TemporaryFile(dir=folder) as probe:
                probe.write(bytes(PROBE_BYTES))
                probe.flush()
                os.fsync(probe.fileno())
            return None
    except OSError as error:
        return f"no file can be written there ({error.strerror})"
    return f"{in_words(needed)} of disk are needed and {in_words(free)} are free"


def in_words(size: float) -> str:
    """Bytes in the largest fitting unit: 3.4 GB."""
    for unit in ("bytes", "kB", "MB", "GB", "TB", "PB"):
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.0f} EB"


def _control_groups(controller: str, root: Path) -> list[Path]:
    """The folders of this process's control group, and of all above it, that may bound
    ``controller``; none if unreadable.

    A path under /proc/self/cgroup starts at the root of the hierarchy, of which a container may
    have mounted a part only.
    """
    own = [line.split(":", 2) for line in _lines(root / "proc/self/cgroup") if line.count(":") >= 2]
    paths = {name: path for _, names, path in own for name in names.split(",")}
    groups: list[Path] = []
    for mount in _lines(root / "proc/self/mountinfo"):
        place, _, system = mount.partition(" - ")
        mounted, point = place.split()[3:5]
        kind, *_, options = system.split()
        if kind == "cgroup2":
            path = paths.get("")
        elif kind == "cgroup" and controller in options.split(","):
            path = paths.get(controller)
        else:
            continue
        if path is not None:
            inside = PurePosixPath(path)
            below = (
                inside.relative_to(mounted) if inside.is_relative_to(mounted) else PurePosixPath()
            )
            below = PurePosixPath() if ".." in below.parts else below
            groups += [root / point.lstrip("/") / part for part in (below, *below.parents)]
    return groups


def _numbers(file: Path) -> list[float]:
    """The numbers in a control group's file, where "max" is infinite; none if it cannot be read."""
    try:
        return [
            math.inf if word == "max" else float(word)
            for word in file.read_text(encoding="utf-8").split()
        ]
    except (OSError, ValueError):
        return []


def _reclaimable(file: Path) -> float:
    """Bytes of a control group's memory that hold copies of files, which the kernel drops if others need the room."""
    entries = dict(line.split(" ", 1) for line in _lines(file) if " " in line)
    return float(entries.get("total_inactive_file", entries.get("inactive_file", 0)))


def _present_memory(root: Path) -> float:
    """Bytes that the machine itself can still give out; all it has if the system does not say."""
    for line in _lines(root / "proc/meminfo"):
        if line.startswith("MemAvailable:"):
            return float(line.split()[1]) * 1024
    return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))


def _threads_of(user: int, root: Path) -> int:
    """Threads of all processes of a user, which is what RLIMIT_NPROC counts."""
    count = 0
    for status in (root / "proc").glob("[0-9]*/status"):
        entries = dict(line.split(":", 1) for line in _lines(status) if ":" in line)
        if entries and int(entries["Uid"].split()[0]) == user:
            count += int(entries["Threads"])
    return count


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
