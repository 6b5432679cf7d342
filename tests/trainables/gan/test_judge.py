import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock
from safetensors import safe_open
from safetensors.torch import save

from trainables.gan import judge as judge_module
from trainables.gan import waiting
from trainables.gan.images import Images, ImagesUnavailable, load_images
from trainables.gan.judge import (
    FINAL_JUDGE,
    SEARCH_JUDGE,
    Judge,
    accuracy,
    cache_folder,
    classify,
    load_judge,
    train_judge,
)
from trainables.gan.shared import Shared


def test_both_judges_know_the_test_images_and_are_two(shared: Shared, digits: Images) -> None:
    one, other = (shared.evaluators[role].judge for role in ("search", "final"))
    assert accuracy(one, digits.test, digits.test_labels) > 0.98
    assert accuracy(other, digits.test, digits.test_labels) > 0.98
    test = torch.from_numpy(digits.test)
    assert not torch.allclose(
        classify(one, test).features, classify(other, test).features, atol=0.1
    )


@pytest.fixture
def small(digits: Images, monkeypatch: pytest.MonkeyPatch) -> Images:
    """Few training images; judges of them are trained in a moment, for three steps."""
    monkeypatch.setattr(judge_module, "TRAINING_STEPS", 3)
    return few(digits)


def few(digits: Images) -> Images:
    return Images(
        "digits", digits.train[:128], digits.train_labels[:128], digits.test, digits.test_labels
    )


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return cache_folder()


def assert_same(one: Judge, other: Judge) -> None:
    for name, weights in one.state_dict().items():
        assert torch.equal(weights, other.state_dict()[name])


def test_a_judge_is_trained_once(small: Images, cache: Path, tmp_path: Path) -> None:
    said: list[str] = []
    one = load_judge(small, SEARCH_JUDGE, said.append, tmp_path / "one")
    assert len(said) == 2
    assert "training judge 1 on the 128" in said[0]
    assert_same(one, load_judge(small, SEARCH_JUDGE, said.append, tmp_path / "two"))
    assert len(said) == 2


def test_one_thread_trains_it_whatever_the_process_has(small: Images) -> None:
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        two = train_judge(small, SEARCH_JUDGE)
        assert torch.get_num_threads() == 2
        torch.set_num_threads(1)
        assert_same(train_judge(small, SEARCH_JUDGE), two)
    finally:
        torch.set_num_threads(threads)


def rewritten(file: Path, place: int, value: str) -> None:
    """Write the file with another name, recipe or checksum over the same weights."""
    with safe_open(file, "pt") as content:
        weights = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
        about = json.loads(content.metadata()["judge"])
    about[place] = value
    file.write_bytes(save(weights, {"judge": json.dumps(about)}))


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def to_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def to_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def to_loop(file: Path) -> None:
    file.unlink()
    file.symlink_to(file)


def to_nothing_known(file: Path) -> None:
    file.write_bytes(
        save({name: tensor.contiguous() for name, tensor in Judge().state_dict().items()})
    )


def to_the_other_judge(file: Path) -> None:
    (other,) = file.parent.glob("*-seed2.safetensors")
    shutil.copy(other, file)


def filled(content: bytes) -> Callable[[Path], None]:
    def damage(file: Path) -> None:
        file.write_bytes(content)

    return damage


DAMAGE: list[Callable[[Path], None]] = [
    flip,
    filled(b""),
    filled(b"\xff" * 64),
    lambda file: os.truncate(file, 5),
    lambda file: os.truncate(file, file.stat().st_size - 1),
    lambda file: rewritten(file, 0, "digits-0-seed1"),
    lambda file: rewritten(file, 1, "2"),
    lambda file: rewritten(file, 2, "0" * 64),
    to_pipe,
    to_loop,
    to_nothing_known,
    to_the_other_judge,
]


@pytest.fixture(scope="session")
def trained(digits: Images, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder and a run's with both judges of a few images."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judge_module, "TRAINING_STEPS", 3)
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        for seed in (SEARCH_JUDGE, FINAL_JUDGE):
            load_judge(few(digits), seed, lambda line: None, folder / "run")
    return folder


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("where", ["cache", "run"])
def test_a_file_that_is_not_the_judge_as_it_was_written_is_named_and_replaced(
    small: Images,
    trained: Path,
    cache: Path,
    tmp_path: Path,
    where: str,
    damage: Callable[[Path], None],
) -> None:
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    folder = cache if where == "cache" else tmp_path / "run"
    (file,) = folder.glob("*-seed1.safetensors")
    whole = file.read_bytes()
    damage(file)
    said: list[str] = []
    kept = tmp_path / ("another run" if where == "cache" else "run")
    judge = load_judge(small, SEARCH_JUDGE, said.append, kept)
    assert said[0].startswith(f"{file} is not used (")
    assert said[0].endswith("it is replaced")
    assert [line.split()[0] for line in said[1:]] == (
        ["training", "judge"] if where == "cache" else []
    )
    assert file.read_bytes() == whole
    said.clear()
    assert_same(judge, load_judge(small, SEARCH_JUDGE, said.append, kept))
    assert said == []


def test_a_judge_of_an_earlier_recipe_stays_the_judge_of_its_run_and_of_no_other(
    small: Images, trained: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr(judge_module, "RECIPE", "99")
    said: list[str] = []
    load_judge(small, SEARCH_JUDGE, said.append, tmp_path / "run")
    assert said == []
    load_judge(small, SEARCH_JUDGE, said.append, tmp_path / "another run")
    assert said[0].startswith("training judge 1")


def no_folder(cache: Path) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text("a file")


def no_lock(cache: Path) -> None:
    for seed in (SEARCH_JUDGE, FINAL_JUDGE):
        for file in cache.glob("*.safetensors"):
            file.unlink()
        for lock in cache.glob(f"*-seed{seed}.lock"):
            lock.unlink()
            lock.mkdir()


def folder_in_place(cache: Path) -> None:
    for file in cache.glob("*.safetensors"):
        to_folder(file)


@pytest.mark.parametrize("spoil", [no_folder, no_lock, folder_in_place])
def test_where_it_cannot_be_kept_it_is_trained_all_the_same(
    small: Images, trained: Path, cache: Path, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    if spoil is not no_folder:
        shutil.copytree(trained / "cache", tmp_path / "cache")
    spoil(cache)
    said: list[str] = []
    load_judge(small, FINAL_JUDGE, said.append, tmp_path / "run")
    (line,) = (line for line in said if "cannot be kept" in line)
    assert line.startswith(f"the judge cannot be kept in {cache} (")
    assert "Errno" not in line
    assert any(line.startswith("training judge 2") for line in said)
    assert list((tmp_path / "run").iterdir())


@pytest.mark.parametrize("home", ["/dev/null", "/proc/none"])
def test_a_cache_on_no_disk_costs_one_line(
    small: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", home)
    said: list[str] = []
    load_judge(small, FINAL_JUDGE, said.append, tmp_path / "run")
    assert len(said) == 3
    assert "cannot be kept" in said[0]


def test_a_run_whose_folder_cannot_be_written_is_refused(
    small: Images, trained: Path, cache: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained / "cache", tmp_path / "cache")
    (tmp_path / "run").write_text("a file")
    with pytest.raises(
        ImagesUnavailable, match=r"cannot be written to .*run/digits-.*\(File exists\)"
    ):
        load_judge(small, FINAL_JUDGE, lambda line: None, tmp_path / "run")


def test_ctrl_c_leaves_no_file_no_lock_and_torchs_threads(
    small: Images, cache: Path, tmp_path: Path
) -> None:
    threads = torch.get_num_threads()

    def interrupt(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_judge(small, SEARCH_JUDGE, interrupt, tmp_path / "run")  # at a line under the lock
    assert torch.get_num_threads() == threads
    assert not list(tmp_path.rglob("*.safetensors*"))
    (lock,) = cache.glob("*.lock")
    FileLock(lock).acquire(timeout=0)


def test_waits_for_another_search_with_a_word_and_not_for_ever(
    small: Images, trained: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "SILENT_WAIT_S", 0.1)
    (kept,) = (trained / "cache").rglob("*-seed1.safetensors")
    cache.mkdir(parents=True)
    other = FileLock((cache / kept.name).with_suffix(".lock"), thread_local=False)
    other.acquire()
    said: list[str] = []

    def trained_there() -> None:
        shutil.copy(kept, cache)
        other.release()

    timer = threading.Timer(0.5, trained_there)
    timer.start()
    load_judge(small, SEARCH_JUDGE, said.append, tmp_path / "one")
    timer.join()
    assert [line.split(" (")[0] for line in said] == [
        "waiting for another search that is training judge 1"
    ]

    said.clear()
    (cache / kept.name).unlink()
    monkeypatch.setattr(waiting, "LONGEST_WAIT_S", 0.2)
    with other:  # by a process that is stopped, as it were
        load_judge(small, SEARCH_JUDGE, said.append, tmp_path / "two")
    assert "does not wait any longer" in said[1]
    assert said[2].startswith("training judge 1")
    assert (cache / kept.name).read_bytes() == kept.read_bytes()


def test_training_says_now_and_then_how_far_it_is(
    digits: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judge_module, "TRAINING_STEPS", 25)
    monkeypatch.setattr(waiting, "EVERY_S", 0.2)
    said: list[str] = []
    train_judge(few(digits), FINAL_JUDGE, said.append)
    assert said
    for line in said:
        assert re.fullmatch(r"judge 2: step [\d,]+ of 25, about \d+ s left", line)


def test_a_run_goes_on_with_the_judge_it_began_with_and_with_no_other_images(
    small: Images, digits: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, said = tmp_path / "judges", list[str]()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "here"))
    begun = load_judge(small, FINAL_JUDGE, said.append, run)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "on another machine"))
    said.clear()
    resumed = load_judge(small, FINAL_JUDGE, said.append, run)
    assert said == []
    assert_same(begun, resumed)
    with pytest.raises(ImagesUnavailable, match="not the digits images that the run began with"):
        load_judge(digits, FINAL_JUDGE, said.append, run)


def test_a_user_without_a_home_has_a_cache_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    for elsewhere in ("", "relative/folder"):
        monkeypatch.setenv("XDG_CACHE_HOME", elsewhere)
        assert cache_folder().is_relative_to(Path.home())
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder().is_relative_to(Path.home())

    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    assert cache_folder().is_relative_to(tempfile.gettempdir())


@pytest.mark.slow
@pytest.mark.skipif(
    "MNIST_ROOT" not in os.environ, reason="set MNIST_ROOT to a folder that holds MNIST/raw"
)
def test_knows_mnist_to_99_2_percent() -> None:
    images = load_images("mnist", Path(os.environ["MNIST_ROOT"]))
    assert accuracy(train_judge(images, 5), images.test, images.test_labels) >= 0.992


CAPTURED: Any = {"capture_output": True, "text": True, "check": True}

WITHOUT_LOCKS = """
import ctypes, struct, sys
from pathlib import Path
from trainables.gan import judge
from trainables.gan.images import Images, load_images

FLOCK, ALLOW, NO_SUCH_CALL = 73, 0x7FFF0000, 0x00050000 + 38
program = [(0x20, 0, 0, 0), (0x15, 0, 1, FLOCK), (0x06, 0, 0, NO_SUCH_CALL), (0x06, 0, 0, ALLOW)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in program))
packed = struct.pack("HxxxxxxP", len(program), ctypes.addressof(code))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
assert libc.prctl(22, 2, ctypes.create_string_buffer(packed)) == 0  # PR_SET_SECCOMP, a filter
judge.TRAINING_STEPS = 3
digits = load_images("digits", "nowhere")
train, labels = digits.train[:128], digits.train_labels[:128]
few = Images("digits", train, labels, digits.test, digits.test_labels)
judge.load_judge(few, judge.SEARCH_JUDGE, print, Path(sys.argv[1]))
"""
"""The kernel answers flock as a file system without locks does: there is no such call (ENOSYS)."""


@pytest.mark.slow
@pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"),
    reason="the number of the system call is that of Linux on x86-64",
)
def test_where_files_cannot_be_locked_a_judge_is_trained_and_kept_and_a_kill_blocks_no_other(
    cache: Path, tmp_path: Path
) -> None:
    """filelock then takes a file's existence for the lock, and ignores the file of a process that
    is gone."""
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], **CAPTURED)
    for run in ("first", "after a kill"):
        command = [sys.executable, "-c", WITHOUT_LOCKS, str(tmp_path / run)]
        done = subprocess.run(command, timeout=100, **CAPTURED)
        assert "flock not supported" in done.stderr
        assert done.stdout.startswith("training judge 1 on the 128 training images")
        assert len(list((tmp_path / run).glob("*.safetensors"))) == 1
        (kept,) = cache.glob("*.safetensors")
        kept.unlink()
        kept.with_suffix(".lock").write_text(f"{int(gone.stdout)}\n{platform.node()}\n")
