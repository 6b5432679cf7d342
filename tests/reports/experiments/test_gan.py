import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from records.run import Run
from reports.experiments.gan_figures import animation, schedules, tiled
from reports.experiments.gan_pictures import early_middle_late, spread
from reports.figures.printed import Scale
from tests.conftest import FINAL_STEPS, GAN_STEPS, SmallGANSearch
from tests.reports.conftest import build, page_of_run

PICTURES = (
    "samples.png", "training.gif", "walk.gif", "interpolation.png", "neighbours.png",
    "history.png", "digits.png", "slices.png", "front.png",
)  # fmt: skip


@pytest.fixture(scope="module")
def digits(small_gan_search: SmallGANSearch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the run's page, with every picture."""
    return build(small_gan_search.path, to=tmp_path_factory.mktemp("site")).parent / "digits"


@pytest.fixture
def copy(small_gan_search: SmallGANSearch, tmp_path: Path, unsaved: set[str]) -> Path:
    """A copy of the run to change; the files of its pictures are not written."""
    return Path(shutil.copytree(small_gan_search.path, tmp_path / "runs" / "copy"))


def test_a_page_with_every_picture(small_gan_search: SmallGANSearch, digits: Path) -> None:
    page = (digits / "index.html").read_text()
    for name in PICTURES:
        assert f'src="{name}"' in page
        with Image.open(digits / name) as picture:
            assert min(picture.size) > 100
    table = page.split("How good the images are")[1].split("</table>")[0]
    for name in (
        f"hand-tuned (step {GAN_STEPS})",
        "best, in the search",
        f"after final training (step {GAN_STEPS + FINAL_STEPS})",
        "real images, by the final judge",
    ):
        assert name in table
    final = json.loads((small_gan_search.path / "best" / "metrics.json").read_text())
    assert f"<td>{final['clean']:.3g}</td>" in table
    assert not re.search(r"\bnan\b", page)


def test_the_walk_and_the_training_are_animations_that_repeat(digits: Path) -> None:
    with Image.open(digits / "walk.gif") as walk:
        assert walk.n_frames == 50  # type: ignore[attr-defined]
        assert walk.info["loop"] == 0


@pytest.mark.parametrize(
    "missing",
    [
        pytest.param(("best",), marks=pytest.mark.slow),
        pytest.param(("best/model.safetensors",), marks=pytest.mark.slow),
        ("best/config.json", "confirmation", "final/trial_*/nearest.npz", "trial_000*/gan_images"),
        pytest.param(("trial_0000", "final/trial_*/result.json"), marks=pytest.mark.slow),
        pytest.param(("trial_000*/result.json",), marks=pytest.mark.slow),
        ("trial_*", "final"),
    ],
)
def test_a_run_with_parts_missing_still_gives_a_page(
    missing: tuple[str, ...], copy: Path, tmp_path: Path
) -> None:
    for path in [found for part in missing for found in copy.glob(part)]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    page_of_run(copy, tmp_path)


@pytest.mark.parametrize(
    "torn",
    [
        "best/model.safetensors",
        pytest.param("final/trial_*/nearest.npz", marks=pytest.mark.slow),
        pytest.param("trial_*/gan_images/*", marks=pytest.mark.slow),
    ],
)
def test_a_file_that_is_cut_off_is_passed_over(torn: str, copy: Path, tmp_path: Path) -> None:
    for path in copy.glob(torn):
        path.write_bytes(path.read_bytes()[:100])
    page = page_of_run(copy, tmp_path)
    if torn.startswith(("best", "final")):
        assert "Note: best/model" in page or "Note: final/" in page


def test_every_way_a_trial_ends_is_said_in_words(copy: Path, tmp_path: Path) -> None:
    words = {
        "discriminator won": "the discriminator won outright",
        "generator collapsed": "the generator collapsed",
        "diverged": "a metric was no longer finite",
    }
    for number, ended in zip((0, 2, 3), words, strict=True):
        file = copy / f"trial_{number:04d}" / "trial.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "ended": ended}))
    rows = copy / "trial_0003" / "result.json"
    first = json.loads(rows.read_text().splitlines()[0])
    diverged = {
        "step": first["step"],
        "train_g_loss": [None],
        "train_d_loss": [None],
        "train_d_real": [None],
        "ended": "diverged",
    }
    rows.write_text(json.dumps(diverged) + "\n")
    page = page_of_run(copy, tmp_path)
    table = page.split("<h2>Every trial</h2>")[1]
    assert all(word in table for word in words.values())


def test_only_fresh_seeds_that_have_come_to_their_end_count(copy: Path, tmp_path: Path) -> None:
    (one,) = Run.open(copy).fresh_seeds
    done = copy / "confirmation" / f"trial_{one.number:04d}"
    record = json.loads((done / "trial.json").read_text())
    for number, (ended, error) in enumerate([(None, None), ("error", "out of memory")], 10):
        other = Path(shutil.copytree(done, done.parent / f"trial_{number:04d}"))
        own = {
            "number": number,
            "ended": ended,
            "error": error,
            "config": {**record["config"], "seed": 900_000 + number},
        }
        (other / "trial.json").write_text(json.dumps({**record, **own}))
        (other / "result.json").write_text(
            '{"step": 56, "fd": 9e9, "fd_ratio": 9e9, "ended": null}\n' if ended is None else ""
        )
    page = page_of_run(copy, tmp_path)
    assert "0 of 2 fresh seeds reach fd ratio 2 or less" in page
    assert "best, mean of 1 fresh seed<" in page
    assert "9,000,000,000" not in page.split("Fresh seeds")[0]
    assert not re.search(r"\bnan\b", page)


def test_where_no_image_was_ever_judged_there_is_a_page(copy: Path, tmp_path: Path) -> None:
    search = json.loads((copy / "search.json").read_text())
    search["objectives"] = [{"metric": "clean", "mode": "max"}]
    (copy / "search.json").write_text(json.dumps(search))
    for path in [copy / "best", copy / "final", copy / "confirmation"]:
        shutil.rmtree(path)
    for file in copy.glob("trial_*/result.json"):
        file.write_text('{"step": 56, "train_g_loss": [null], "ended": "diverged"}\n')
    assert "There is no winner: " in page_of_run(copy, tmp_path)


def test_early_middle_and_late_are_each_shown_once() -> None:
    assert early_middle_late([500, 1000, 1500, 3000, 9000]) == [500, 3000, 9000]
    assert early_middle_late([500]) == [500]
    assert early_middle_late([500, 1000]) == [500, 1000]


def test_frames_are_spread_from_the_first_step_to_the_last() -> None:
    steps = list(range(500, 57_000, 500))
    frames = spread(steps, 40)
    assert (frames[0], frames[-1]) == (500, 56_500)
    assert len(frames) <= 40
    assert frames[1] - frames[0] < frames[-1] - frames[-2]
    assert spread([500], 40) == [500]


def test_images_are_laid_out_in_rows() -> None:
    images = np.arange(6, dtype=np.uint8).reshape(2, 3, 1, 1)
    assert tiled(images, gap=1)[1::2, 1::2].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_an_animation_of_one_frame_is_a_picture() -> None:
    assert animation([np.zeros((4, 4), np.uint8)], 100, 800).startswith(b"GIF8")


def test_schedules_draw_every_trial_and_the_way_of_the_winners_weights() -> None:
    changes = pd.DataFrame(
        [
            {"number": 0, "step": 0, "donor": None, "lr_g": 1e-3, "ema": 0.0},
            {"number": 1, "step": 0, "donor": None, "lr_g": 4e-3, "ema": 0.9995},
            {"number": 1, "step": 30, "donor": 0, "lr_g": 2e-3, "ema": 0.99},
        ]
    )
    scales: dict[str, Scale] = {"lr_g": "log", "ema": (0.0, 0.99, 0.9995), "penalty": "log"}
    figure = schedules(changes, scales, [(0, 0), (30, 1)], 90, "digits")
    lr, ema = (axes for axes in figure.axes if axes.get_visible())
    data = [patch.get_data() for patch in lr.patches]  # type: ignore[attr-defined]
    drawn = [(list(one.values), list(one.edges)) for one in data]
    assert drawn == [([1e-3], [0, 90]), ([4e-3, 2e-3], [0, 30, 90]), ([1e-3, 2e-3], [0, 30, 90])]
    assert lr.get_yscale() == "log"
    assert [label.get_text() for label in ema.get_yticklabels()] == ["0", "0.99", "0.9995"]
    assert [text.get_text() for text in figure.legends[0].texts] == [
        "a trial",
        "the winner's weights",
    ]
