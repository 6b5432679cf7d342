"""The folders that a search needs, where disks are full and paths cannot be used."""

import os
import subprocess
from pathlib import Path

import pytest

from command_line import UsageError
from tuning import folders
from tuning.folders import check_folder, ray_folder, token_file


def test_a_storage_folder_that_cannot_be_written_is_refused_and_nothing_is_left(
    tmp_path: Path,
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


def test_a_folder_without_room_is_refused_with_both_sizes(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"1\.0 ZB of disk are needed and [\d.]+ .B are free"):
        check_folder(tmp_path, 1e21)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can mount")
def test_a_full_and_a_read_only_file_system_are_refused(tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=500k", "none", str(tmp_path)], check=True)
    try:
        with pytest.raises(UsageError, match=r"Make room there or allow writing"):
            check_folder(tmp_path / "runs", 0)
        subprocess.run(["mount", "-o", "remount,ro", str(tmp_path)], check=True)
        with pytest.raises(UsageError, match="Read-only file system"):
            check_folder(tmp_path / "runs", 0)
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


@pytest.mark.parametrize("kind", ["long", "missing", "a file", "proc"])
def test_ray_has_a_folder_of_its_own_if_tmpdir_cannot_be_used(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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


def test_rays_default_folder_is_taken_if_it_can_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv("TMPDIR", "/var/tmp")
    assert ray_folder() == Path("/var/tmp/ray")
    monkeypatch.setenv("TMPDIR", "")
    assert ray_folder() == Path("/tmp/ray")


def test_no_folder_for_ray_at_all_is_refused_with_every_cause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", "/proc")
    monkeypatch.setattr(folders, "RAY_FOLDER_BYTES", 1e21)
    with pytest.raises(
        UsageError,
        match=r"^Ray has no folder .*\(/proc: .*; /tmp/.* are free\): set RAY_TMPDIR",
    ):
        ray_folder()


def test_a_folder_that_others_can_write_is_not_taken_for_this_users_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = tmp_path / f"ray-{os.geteuid()}"
    planted.mkdir()
    planted.chmod(0o777)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("HOME", "/proc")
    assert token_file().parent != planted
    assert folders._ray_problem(Path("/proc") / planted.name) is not None


def test_the_token_is_made_at_home_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
    home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    (tmp_path / "runtime").mkdir()
    monkeypatch.setenv("HOME", home)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "runtime"))
    file = token_file()
    assert file == tmp_path / "runtime" / f"ray-{os.geteuid()}" / "auth_token"
    assert file.parent.stat().st_mode & 0o777 == 0o700
