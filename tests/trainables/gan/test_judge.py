import os
import tempfile
from pathlib import Path

import pytest
import torch

from trainables.gan.images import Images, ImagesUnavailable, load_images
from trainables.gan.judge import FINAL_JUDGE, SEARCH_JUDGE, accuracy, cache_folder, load_judge, look, train_judge
from trainables.gan.trainable import Shared


def test_both_judges_know_the_test_images_and_are_two(shared: Shared, digits: Images) -> None:
    one, other = (shared.yardsticks[role].judge for role in ("search", "final"))
    assert accuracy(one, digits.test, digits.test_labels) > 0.98
    assert accuracy(other, digits.test, digits.test_labels) > 0.98
    test = torch.from_numpy(digits.test)
    assert not torch.allclose(look(one, test).features, look(other, test).features, atol=0.1)


@pytest.fixture
def small(digits: Images) -> Images:
    return Images("digits", digits.train[:128], digits.train_labels[:128], digits.test, digits.test_labels)


def test_a_judge_is_trained_once_and_again_only_where_its_file_is_damaged(
    small: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    said: list[str] = []
    load_judge(small, SEARCH_JUDGE, said.append, tmp_path / "one")
    assert len(said) == 2
    assert "training judge 1 on the 128" in said[0]
    kept = load_judge(small, SEARCH_JUDGE, said.append, tmp_path / "two")
    assert len(said) == 2
    (file,) = cache_folder().glob(f"digits-*-seed{SEARCH_JUDGE}.safetensors")
    whole = file.read_bytes()
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 1
    file.write_bytes(damaged)
    mended = load_judge(small, SEARCH_JUDGE, said.append, tmp_path / "three")
    assert said[2] == said[0]
    for name, weights in kept.state_dict().items():
        torch.testing.assert_close(mended.state_dict()[name], weights)
    assert file.read_bytes() == whole


def test_where_it_cannot_be_kept_it_is_trained_all_the_same(
    small: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    said: list[str] = []
    judge = load_judge(small, FINAL_JUDGE, said.append, tmp_path)
    assert "cannot be kept" in said[0]
    assert accuracy(judge, small.test, small.test_labels) > 0.5


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
    assert all(torch.equal(weights, resumed.state_dict()[name]) for name, weights in begun.state_dict().items())
    with pytest.raises(ImagesUnavailable, match="not the digits images that the run began with"):
        load_judge(digits, FINAL_JUDGE, said.append, run)


def test_a_user_without_a_home_has_a_cache_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder().is_relative_to(Path.home())

    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    assert cache_folder().is_relative_to(tempfile.gettempdir())


@pytest.mark.slow
@pytest.mark.skipif("MNIST_ROOT" not in os.environ, reason="set MNIST_ROOT to a folder that holds MNIST/raw")
def test_knows_mnist_to_99_2_percent() -> None:
    images = load_images("mnist", Path(os.environ["MNIST_ROOT"]))
    assert accuracy(train_judge(images, 5), images.test, images.test_labels) >= 0.992
