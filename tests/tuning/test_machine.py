"""This machine as a search finds it: control groups in made trees, folders that are none, limits."""

import os
import subprocess
from pathlib import Path

import pytest

from command_line import UsageError
from tuning import machine
from tuning.machine import (
    check_folder,
    check_limits,
    free_memory,
    free_processes,
    ray_folder,
    token_file,
    usable_cores,
)

V2 = "30 23 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate"
V1 = (
    "31 23 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "30 23 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"
)


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


@pytest.mark.usefixtures("two_cores")
@pytest.mark.parametrize(
    ("own", "mounts", "files", "cores"),
    [
        ("0::/", V2, {"cpu.max": "100000 100000\n"}, 1),  # in a container with a namespace of its own
        ("0::/", V2, {"cpu.max": "max 100000\n"}, 2),
        ("0::/", V2, {"cpu.max": "50000 100000\n"}, 1),  # half a core: still one at a time
        ("0::/", V2, {"cpu.max": "150000 100000\n"}, 1),
        ("0::/", V2, {"cpu.max": "400000 100000\n"}, 2),
        ("0::/", V2, {"cpu.max": "rubbish"}, 2),
        ("0::/", V2, {"cpu.max": ""}, 2),
        ("0::/", V2, {}, 2),
        ("0::/a/b", V2, {"a/cpu.max": "100000 100000", "a/b/cpu.max": "max 100000"}, 1),  # the one above bounds
        ("0::/a/b", V2, {"a/cpu.max": "max 100000", "a/b/cpu.max": "100000 100000"}, 1),
        ("0::/a", V2, {"a/cpu.max": "max 100000", "b/cpu.max": "100000 100000"}, 2),  # not this process's
        ("0::/../../other", V2, {"cpu.max": "100000 100000"}, 1),
        ("4:cpu,cpuacct:/\n0::/", V1, {"cpu,cpuacct/cpu.cfs_quota_us": "100000", "cpu,cpuacct/cpu.cfs_period_us": "100000"}, 1),
        ("4:cpu,cpuacct:/\n0::/", V1, {"cpu,cpuacct/cpu.cfs_quota_us": "-1", "cpu,cpuacct/cpu.cfs_period_us": "100000"}, 2),
        (
            "4:cpu,cpuacct:/docker/1f",  # seen from the host's root, mounted from the container's own
            V1.replace("0:27 /", "0:27 /docker/1f"),
            {"cpu,cpuacct/cpu.cfs_quota_us": "50000", "cpu,cpuacct/cpu.cfs_period_us": "100000"},
            1,
        ),
        (
            "4:cpu,cpuacct:/a/b\n0::/",
            V1 + "\n41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw",  # hybrid
            {"cpu,cpuacct/a/cpu.cfs_quota_us": "100000", "cpu,cpuacct/a/cpu.cfs_period_us": "100000", "unified/x": ""},
            1,
        ),
    ],
)  # fmt: skip
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


class TestFolders:
    def test_a_storage_folder_that_cannot_be_written_is_refused_and_nothing_is_left(
        self, tmp_path: Path
    ) -> None:
        check_folder(tmp_path / "runs" / "mine", 1e6)
        file = tmp_path / "file"
        file.write_text("")
        dangling = tmp_path / "dangling"
        dangling.symlink_to("/nowhere/at/all")
        refused = [file / "runs", Path("/proc/runs"), dangling, tmp_path / ("x" * 300)]
        for folder in refused:
            with pytest.raises(UsageError, match=r"^no run can be kept in .*--storage-path$"):
                check_folder(folder, 1e6)
        assert sorted(tmp_path.iterdir()) == [dangling, file]

    def test_a_folder_without_room_is_refused_with_both_figures(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"1,000 EB of disk are needed and [\d.]+ .B are free"):
            check_folder(tmp_path, 1e21)

    @pytest.mark.skipif(os.getuid() != 0, reason="only root can mount")
    def test_a_full_and_a_read_only_file_system_are_refused(self, tmp_path: Path) -> None:
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=500k", "none", str(tmp_path)], check=True
        )
        try:
            with pytest.raises(UsageError, match=r"Make room there"):
                check_folder(tmp_path / "runs", 0)
            subprocess.run(["mount", "-o", "remount,ro", str(tmp_path)], check=True)
            with pytest.raises(UsageError, match="Read-only file system"):
                check_folder(tmp_path / "runs", 0)
        finally:
            subprocess.run(["umount", str(tmp_path)], check=True)

    @pytest.mark.parametrize("kind", ["long", "missing", "a file", "proc"])
    def test_ray_has_a_folder_of_its_own_beside_a_tmpdir_that_will_not_do(
        self, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        long = tmp_path / ("x" * 70)
        long.mkdir()
        file = Path("/tmp") / f"file-{os.getpid()}"
        file.write_text("")
        wanted = {
            "long": long,
            "missing": Path("/tmp/no/such"),
            "a file": file,
            "proc": Path("/proc"),
        }[kind]
        monkeypatch.setenv("TMPDIR", str(wanted))
        monkeypatch.delenv("RAY_TMPDIR", raising=False)
        try:
            assert ray_folder() == Path(f"/tmp/ray-{os.geteuid()}/ray")
        finally:
            file.unlink()

    def test_rays_own_folder_is_taken_where_it_will_do(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("RAY_TMPDIR", raising=False)
        monkeypatch.setenv("TMPDIR", "/var/tmp")
        assert ray_folder() == Path("/var/tmp/ray")
        monkeypatch.setenv("TMPDIR", "")
        assert ray_folder() == Path("/tmp/ray")

    def test_no_folder_for_ray_at_all_is_refused_with_every_cause(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("RAY_TMPDIR", "/proc")
        monkeypatch.setattr(machine, "RAY_FOLDER_BYTES", 1e21)
        with pytest.raises(
            UsageError,
            match=r"^Ray has no folder .*\(/proc: .*; /tmp/.* are free\): set RAY_TMPDIR",
        ):
            ray_folder()

    def test_a_folder_that_others_can_write_is_not_taken_for_this_users_own(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        planted = tmp_path / f"ray-{os.geteuid()}"
        planted.mkdir()
        planted.chmod(0o777)
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
        monkeypatch.setenv("HOME", "/proc")
        assert token_file().parent != planted
        assert machine._ray_problem(Path("/proc") / planted.name) is not None

    def test_the_token_is_made_at_home_and_kept(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        file = token_file()
        assert file == tmp_path / ".ray" / "auth_token"
        token = file.read_text()
        assert len(token) == 64
        assert file.stat().st_mode & 0o777 == 0o600
        assert token_file().read_text() == token

    @pytest.mark.parametrize("home", ["", "/proc", "/nowhere/at/all", "file"])
    def test_without_a_home_the_token_is_in_a_private_folder(
        self, home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "file").write_text("")
        (tmp_path / "runtime").mkdir()
        monkeypatch.setenv("HOME", home)
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "runtime"))
        file = token_file()
        assert file == tmp_path / "runtime" / f"ray-{os.geteuid()}" / "auth_token"
        assert file.parent.stat().st_mode & 0o777 == 0o700
