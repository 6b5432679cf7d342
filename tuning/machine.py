"""What this machine allows a search: cores, memory, open files and processes.

A process in a container may use less than the machine has: its control group, or one above it, can
limit CPU time, memory and processes. Control groups of versions 1 and 2 are read from /proc and
/sys/fs/cgroup. Source: https://docs.kernel.org/admin-guide/cgroup-v2.html
"""

import math
import os
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from command_line import UsageError

ROOT = Path("/")
"""The folder under which ``proc`` and ``sys/fs/cgroup`` are read."""

RAY_FILES, WORKER_FILES = 128, 16
"""Files that Ray's busiest process opens by itself, and for each worker. Measured with Ray 2.60."""
RAY_THREADS, DASHBOARD_THREADS, WORKER_THREADS = 200, 200, 25
"""Threads of Ray's own processes, its dashboard and each worker. Measured with Ray 2.60."""


@dataclass(frozen=True)
class Cores:
    """CPU cores that this process may use.

    Attributes:
        usable: Whole cores, at least 1.
        present: Cores that the kernel may run this process on.
    """

    usable: int
    present: int

    def __str__(self) -> str:
        if self.usable < self.present:
            return f"{self.usable} of {self.present} cores, by the container's CPU quota"
        return f"{self.usable} core{'s' * (self.usable > 1)}"


def usable_cores(root: Path = ROOT) -> Cores:
    """The cores of this process's CPU affinity, or fewer if a control group allows less CPU
    time."""
    affinity = getattr(os, "sched_getaffinity", None)
    present = len(affinity(0)) if affinity else os.cpu_count() or 1
    quotas = [float(present)]
    for group in _control_groups("cpu", root):
        period = _numbers(group / "cpu.cfs_period_us")
        bound = _numbers(group / "cpu.max") or _numbers(group / "cpu.cfs_quota_us") + period
        if len(bound) == 2 and min(bound) > 0:  # a quota of -1 means no limit
            quotas.append(bound[0] / bound[1])
    return Cores(max(1, int(min(quotas) + 1e-9)), present)


def free_memory(root: Path = ROOT) -> float:
    """Bytes of memory that new processes can have, by the machine and by its control groups."""
    kilobytes = _entries(root / "proc/meminfo", ":").get("MemAvailable")
    if kilobytes:
        free = [float(kilobytes.split()[0]) * 1024]
    else:
        free = [float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))]
    files = "memory.max memory.current", "memory.limit_in_bytes memory.usage_in_bytes"
    for group, left in _unused("memory", root, *files):
        cached = _entries(group / "memory.stat", " ")  # of files: the kernel drops it if need be
        free.append(left + float(cached.get("total_inactive_file", cached.get("inactive_file", 0))))
    return max(0.0, min(free))


def free_processes(root: Path = ROOT) -> float:
    """Processes and threads that this user can still start; infinite if nothing limits them."""
    free = [left for _, left in _unused("pids", root, "pids.max pids.current")]
    most, user = resource.getrlimit(resource.RLIMIT_NPROC)[0], os.getuid()
    if most != resource.RLIM_INFINITY and user != 0:  # root is exempt
        free.append(most - _threads_of(user, root))
    return min(free, default=math.inf)


def check_limits(workers: int, dashboard: bool, root: Path = ROOT) -> None:
    """Raise UsageError if this user may not open the files or start the processes that Ray needs
    for ``workers`` worker processes."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]  # Ray raises the soft limit to this one
    needed = RAY_FILES + WORKER_FILES * workers
    if files != resource.RLIM_INFINITY and files < needed:
        raise UsageError(
            f"this user may open {files} files and Ray needs {needed}: raise the limit with"
            f" ulimit -n {needed}, or lower --max-concurrent"
        )
    processes = free_processes(root)
    needed = RAY_THREADS + DASHBOARD_THREADS * dashboard + WORKER_THREADS * workers
    if processes < needed:
        raise UsageError(
            f"this user may start {max(0, int(processes)):,} more processes and threads and Ray"
            f" needs {needed:,}: raise the limit (ulimit -u, or the container's pids limit),"
            " add --no-dashboard, or lower --max-concurrent"
        )


def _unused(controller: str, root: Path, *files: str) -> Iterator[tuple[Path, float]]:
    """Each control group that has a limit, and how much of it is left. ``files``: the names of the
    limit's and the usage's file, in each version of control groups."""
    for group in _control_groups(controller, root):
        for pair in files:
            limit, used = (_numbers(group / name) for name in pair.split())
            if limit and used:
                yield group, limit[0] - used[0]


def _control_groups(controller: str, root: Path) -> list[Path]:
    """The folders of this process's control group and of all groups above it that may limit
    ``controller``; empty if they cannot be read.

    A path in /proc/self/cgroup starts at the root of the hierarchy. A container may have mounted
    only a part of that.
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
            inside, below = PurePosixPath(path), PurePosixPath()
            if inside.is_relative_to(mounted) and ".." not in inside.relative_to(mounted).parts:
                below = inside.relative_to(mounted)
            groups += [root / point.lstrip("/") / part for part in (below, *below.parents)]
    return groups


def _threads_of(user: int, root: Path) -> int:
    """Threads of all processes of a user, which is what RLIMIT_NPROC counts."""
    files = (root / "proc").glob("[0-9]*/status")
    processes = [entries for file in files if (entries := _entries(file, ":"))]
    return sum(int(one["Threads"]) for one in processes if int(one["Uid"].split()[0]) == user)


def _numbers(file: Path) -> list[float]:
    """The numbers in a file, "max" as infinity; empty if it cannot be read or holds other words."""
    words = " ".join(_lines(file)).split()
    try:
        return [math.inf if word == "max" else float(word) for word in words]
    except ValueError:
        return []


def _entries(file: Path, separator: str) -> dict[str, str]:
    """The lines of a file that have a name and a value; empty if it cannot be read."""
    return dict(line.split(separator, 1) for line in _lines(file) if separator in line)


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
