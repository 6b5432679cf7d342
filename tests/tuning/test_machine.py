"""What this machine allows a search: control groups in made trees, and limits of this user."""

import os
from pathlib import Path

import pytest

from command_line import UsageError
from tuning.machine import check_limits, free_memory, free_processes, usable_cores

V2 = "30 23 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate"
V1 = (
    "31 23 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "30 23 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"
)
HYBRID = V1 + "\n41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw"


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})


def tree(root: Path, own: str, mounts: str, files: dict[str, str]) -> Path:
    """A made root: this process's control groups, the mounts, and files under sys/fs/cgroup."""
    files = {
        "proc/self/cgroup": own,
        "proc/self/mountinfo": mounts,
        **{f"sys/fs/cgroup/{at}": text for at, text in files.items()},
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def v1(quota: int, folder: str = "") -> dict[str, str]:
    """A quota of CPU time in control groups of version 1, with a period of 100 ms."""
    place = f"cpu,cpuacct/{folder}cpu.cfs_"
    return {f"{place}quota_us": str(quota), f"{place}period_us": "100000"}


@pytest.mark.usefixtures("two_cores")
@pytest.mark.parametrize(
    ("own", "mounts", "files", "cores"),
    [
        ("0::/", V2, {"cpu.max": "100000 100000\n"}, 1),  # in a container with its own namespace
        ("0::/", V2, {"cpu.max": "max 100000\n"}, 2),
        ("0::/", V2, {"cpu.max": "50000 100000\n"}, 1),  # half a core: still one at a time
        ("0::/", V2, {"cpu.max": "150000 100000\n"}, 1),
        ("0::/", V2, {"cpu.max": "400000 100000\n"}, 2),
        ("0::/", V2, {"cpu.max": "rubbish"}, 2),
        ("0::/", V2, {"cpu.max": ""}, 2),
        ("0::/", V2, {}, 2),
        # The group above bounds, the group of another process does not.
        ("0::/a/b", V2, {"a/cpu.max": "100000 100000", "a/b/cpu.max": "max 100000"}, 1),
        ("0::/a/b", V2, {"a/cpu.max": "max 100000", "a/b/cpu.max": "100000 100000"}, 1),
        ("0::/a", V2, {"a/cpu.max": "max 100000", "b/cpu.max": "100000 100000"}, 2),
        ("0::/../../other", V2, {"cpu.max": "100000 100000"}, 1),
        ("4:cpu,cpuacct:/\n0::/", V1, v1(100_000), 1),
        ("4:cpu,cpuacct:/\n0::/", V1, v1(-1), 2),
        # Named as the host sees it, and mounted from the container's own folder.
        ("4:cpu,cpuacct:/docker/1f", V1.replace("0:27 /", "0:27 /docker/1f"), v1(50_000), 1),
        ("4:cpu,cpuacct:/a/b\n0::/", HYBRID, {**v1(100_000, "a/"), "unified/x": ""}, 1),
    ],
)
def test_a_quota_of_cpu_time_bounds_the_cores(
    own: str, mounts: str, files: dict[str, str], cores: int, tmp_path: Path
) -> None:
    found = usable_cores(tree(tmp_path, own, mounts, files))
    assert found.usable == cores
    assert str(found) == {1: "1 of 2 cores, by the container's CPU quota", 2: "2 cores"}[cores]


@pytest.mark.usefixtures("two_cores")
def test_without_control_groups_the_affinity_counts(tmp_path: Path) -> None:
    assert usable_cores(tmp_path).usable == 2
    for name in ("cgroup", "mountinfo"):  # unreadable, whoever asks
        (tmp_path / "proc" / "self" / name).mkdir(parents=True)
    assert usable_cores(tmp_path).usable == 2


@pytest.mark.parametrize("above", ["a/", ""])
def test_a_limit_of_memory_bounds_what_is_free_and_cached_files_do_not_count(
    above: str, tmp_path: Path
) -> None:
    files = {
        f"{above}memory.max": "1000000",
        f"{above}memory.current": "700000",
        f"{above}memory.stat": "anon 5\ninactive_file 100000\n",
    }
    assert free_memory(tree(tmp_path, "0::/a", V2, files)) == 400_000
    files = {
        f"memory/{above}memory.limit_in_bytes": "1000000",
        f"memory/{above}memory.usage_in_bytes": "700000",
    }
    assert free_memory(tree(tmp_path / "v1", "4:memory:/a", V1, files)) == 300_000


def test_a_limit_that_is_none_leaves_the_machines_memory(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:   5000 kB\n")
    files = {"memory.max": "max", "memory.current": "700000"}
    assert free_memory(tree(tmp_path, "0::/", V2, files)) == 5_000 * 1024


def test_a_limit_of_processes_is_refused_before_ray_hangs(tmp_path: Path) -> None:
    root = tree(tmp_path, "0::/", V2, {"pids.max": "300", "pids.current": "250"})
    assert free_processes(root) == 50
    with pytest.raises(
        UsageError,
        match="may start 50 more processes and threads and Ray needs 450: raise the limit",
    ):
        check_limits(2, dashboard=True, root=root)
