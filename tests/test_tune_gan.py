"""Small GAN searches through the real command: the scripts' own files, pictures, judges, data sets
and objectives."""

import json
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import optuna
import pytest
import torch
from optuna.trial import TrialState
from PIL import Image

from command_line import UsageError
from search_spaces.gan import SPACES
from tests.conftest import FINAL_STEPS, GAN_STEPS, ROOT, SmallGANSearch, run
from trainables.gan import judge
from trainables.gan.images import load_images
from trainables.gan.model import load_generator
from tune_gan import GANOptions, preparation


def read(file: Path) -> dict[str, object]:
    content: dict[str, object] = json.loads(file.read_text())
    return content


def test_ends_well_and_names_what_it_found(small_gan_search: SmallGANSearch) -> None:
    result = small_gan_search.result
    assert result.returncode == 0, result.stderr
    assert not any("Traceback" in line or "WARNING" in line for line in result.stderr.splitlines())
    lines = result.stdout.splitlines()
    report = os.path.relpath(ROOT / "reports" / "build.py", small_gan_search.folder)
    assert lines[-1] == f"next       python {report} runs/digits"
    words = [line.split()[0] for line in lines]
    assert {"selected", "confirmed", "better", "finalist", "final"} <= set(words)
    assert sum(word == "baseline" for word in words) == 3
    assert "trained on to step" in result.stdout


def test_the_judges_are_made_ready_before_the_plan(small_gan_search: SmallGANSearch) -> None:
    lines = small_gan_search.result.stderr.splitlines()
    plan = next(
        place
        for place, line in enumerate(lines)
        if line.startswith("4 trials · TPE (seed 0) + ASHA at steps 10, 30")
    )
    assert all("judge" in line for line in lines[:plan])


def test_every_trial_is_on_disk_and_the_known_settings_had_their_whole_budget(
    small_gan_search: SmallGANSearch,
) -> None:
    records = [
        json.loads(file.read_text())
        for file in sorted(small_gan_search.path.glob("trial_*/trial.json"))
    ]
    assert [record["config"].get("baseline") for record in records] == [
        *SPACES["extended"].baselines,
        None,
    ]
    assert [record["ended"] for record in records[:3]] == ["budget", "budget", "budget"]
    for record in records:
        applying = {
            n for n, p in SPACES["extended"].parameters.items() if p.applies(record["config"])
        }
        assert applying == {n for n in SPACES["extended"].parameters if n in record["config"]}


def test_the_study_minimizes_fd_and_holds_only_what_applies(
    small_gan_search: SmallGANSearch,
) -> None:
    study = optuna.load_study(
        study_name="digits", storage=f"sqlite:///{small_gan_search.path / 'optuna.db'}"
    )
    assert study.direction.name == "MINIMIZE"
    for trial in study.trials:
        folder = small_gan_search.path / trial.user_attrs["directory"]
        rows = [json.loads(line) for line in (folder / "result.json").read_text().splitlines()]
        assert trial.state == (
            TrialState.COMPLETE if trial.user_attrs["ended"] == "budget" else TrialState.PRUNED
        )
        assert trial.value == rows[-1]["fd"]
        assert trial.intermediate_values == {row["step"]: row["fd"] for row in rows}
        config = json.loads((folder / "trial.json").read_text())["config"]
        assert trial.params == {
            name: config[name] for name in SPACES["extended"].parameters if name in config
        }
    best = min(
        (t for t in study.trials if t.state == TrialState.COMPLETE), key=lambda t: t.value or 0
    )
    confirmation = read(small_gan_search.path / "best" / "confirmation.json")
    assert confirmation["candidates"][0]["trial"] == best.number  # type: ignore[index]


def test_sample_grids_of_every_trial_that_lived_to_draw_them(
    small_gan_search: SmallGANSearch,
) -> None:
    for number in (0, 1):
        (grid,) = (small_gan_search.path / f"trial_{number:04d}" / "gan_images").iterdir()
        assert grid.name == f"step_{GAN_STEPS:06d}.png"
        assert Image.open(grid).size == (152, 152)
    assert (small_gan_search.path / "gan_images" / f"step_{GAN_STEPS:06d}.png").exists()
    rows = (small_gan_search.path / "trial_0000" / "result.json").read_text()
    assert "files" not in rows


def test_fresh_seeds_and_the_final_training_are_judged_by_the_judge_no_trial_has_seen(
    small_gan_search: SmallGANSearch,
) -> None:
    path = small_gan_search.path
    judges = {
        part: {
            json.loads(file.read_text())["config"]["judge"]
            for file in path.glob(f"{part}trial_*/trial.json")
        }
        for part in ("", "confirmation/", "final/")
    }
    assert judges == {"": {"search"}, "confirmation/": {"final"}, "final/": {"final"}}
    search = json.loads((path / "search.json").read_text())
    (result,) = path.glob("final/trial_*/result.json")
    last = json.loads(result.read_text().splitlines()[-1])
    assert last["fd_ratio"] == pytest.approx(last["fd"] / search["judges"]["final"]["floor"]["fd"])
    assert {"density", "manifold_coverage", "copied"} <= set(last)
    assert search["images"]["train"] == 1198


def test_the_final_training_goes_on_from_the_winners_weights_and_is_what_is_exported(
    small_gan_search: SmallGANSearch,
) -> None:
    path = small_gan_search.path
    (final,) = path.glob("final/trial_*")
    record = json.loads((final / "trial.json").read_text())
    rows = [json.loads(line) for line in (final / "result.json").read_text().splitlines()]
    assert record["config"]["decay_from"] == GAN_STEPS
    assert rows[0]["step"] == GAN_STEPS + 10  # a report on: it did not start again from nothing
    assert rows[-1]["step"] == GAN_STEPS + FINAL_STEPS
    metrics = json.loads((path / "best" / "metrics.json").read_text())
    assert metrics["trained_on"]
    assert metrics["fd"] == rows[-1]["fd"]


def test_three_lines_load_the_winner_and_draw(small_gan_search: SmallGANSearch) -> None:
    generator = load_generator(small_gan_search.path / "best")
    latents = generator.draw_latents(64, torch.Generator().manual_seed(0))
    images = generator(latents)
    assert images.shape == (64, 28, 28)
    grid = np.asarray(
        Image.open(small_gan_search.path / "gan_images" / f"step_{GAN_STEPS:06d}.png")
    )
    assert abs(images.mean().item() - (grid[grid != 64].mean() / 127.5 - 1)) < 0.35
    assert images.std() > 0.2  # ink on paper, not one gray


def write_idx(folder: Path, kind: str, count: int) -> None:
    """IDX files of ``count`` of scikit-learn's digits: for training (train) or for testing
    (t10k)."""
    digits = load_images("digits", "")
    part = (
        (digits.train, digits.train_labels)
        if kind == "train"
        else (digits.test, digits.test_labels)
    )
    pixels, labels = part[0][:count], part[1][:count].astype(np.uint8)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{kind}-images-idx3-ubyte").write_bytes(
        struct.pack(">IIII", 0x803, count, 28, 28) + pixels.tobytes()
    )
    (folder / f"{kind}-labels-idx1-ubyte").write_bytes(
        struct.pack(">II", 0x801, count) + labels.tobytes()
    )


@pytest.mark.slow
def test_another_data_set_two_objectives_and_the_core_space_in_two_sessions(tmp_path: Path) -> None:
    folder = tmp_path / "images" / "FashionMNIST" / "raw"
    write_idx(folder, "train", 400)
    write_idx(folder, "t10k", 200)
    first = run(
        "tune_gan.py", "--dataset", "fashion-mnist", "--data-root", "images", "--space", "core",
        "--objectives", "fd", "clean",
        "--max-steps", 36, "--num-samples", 2, "--confirm", 0, "--final-steps", 0, "--name",
        "bars", "--no-dashboard",
        "--scheduler", "none", cwd=tmp_path,
    )  # fmt: skip
    assert first.returncode == 0, first.stderr
    lines = first.stderr.splitlines()
    cautions = [line for line in lines if line.startswith("caution: ")]
    assert [line.split()[4] for line in cautions[:2]] == ["400", "200"]
    lines = [
        line for line in lines if line not in cautions and not line.endswith((" left", " so far"))
    ]
    record = json.loads((tmp_path / "runs" / "bars" / "search.json").read_text())
    assert record["cautions"] == [line.removeprefix("caution: ") for line in cautions]
    assert [line.split()[:3] for line in lines[:4]] == [
        ["training", "judge", "1"], ["judge", "1", "recognises"], ["training", "judge", "2"],
        ["judge", "2", "recognises"],
    ]  # fmt: skip
    assert lines[4].startswith("2 trials · ")
    (tmp_path / "images").rename(tmp_path / "moved")
    second = run(
        "tune_gan.py", "--resume", "--name", "bars", "--num-samples", 5, "--quiet", "--data-root",
        "moved", "--no-dashboard",
        cwd=tmp_path,
    )  # fmt: skip
    assert second.returncode == 0, second.stderr
    lines = second.stdout.splitlines()
    assert lines[0].startswith("5 trials: ")
    study = optuna.load_study(
        study_name="bars", storage=f"sqlite:///{tmp_path}/runs/bars/optuna.db"
    )
    assert [direction.name for direction in study.directions] == ["MINIMIZE", "MAXIMIZE"]
    assert len(study.trials) == 5
    front = {f"trial {trial.number}:" for trial in study.best_trials}
    assert {" ".join(line.split()[1:3]) for line in lines if line.startswith("front ")} == front
    assert not (tmp_path / "runs" / "bars" / "final").exists()
    for steps in (8, 16):  # a final training, and then a longer one
        again = run(
            "tune_gan.py",
            "--resume",
            "--quiet",
            "--final-steps",
            steps,
            "--data-root",
            "moved",
            "--no-dashboard",
            cwd=tmp_path,
        )
        assert again.returncode == 0, again.stderr
        assert f"final      trained on to step {36 + steps}" in again.stdout
    (rows,) = tmp_path.glob("runs/bars/final/trial_*/result.json")
    assert [json.loads(line)["step"] for line in rows.read_text().splitlines()] == [40, 44, 48, 52]
    build = run("reports/build.py", "runs/bars", cwd=tmp_path)
    assert build.returncode == 0, build.stderr


def refused(cwd: Path, *arguments: str) -> str:
    """The one line on stderr with which the command refuses its data, if it starts no Ray and
    leaves no run."""
    code = (
        "import sys, ray; ray.init = lambda *a, **k: sys.exit('Ray was started');"
        "sys.path.insert(0, sys.argv.pop(1));"
        "import tune_gan; sys.exit(tune_gan.main())"
    )
    proxy = {
        "http_proxy": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
        "PATH": "/usr/bin:/bin",
    }
    result = subprocess.run(
        [sys.executable, "-c", code, str(ROOT), *arguments],
        cwd=cwd,
        env=proxy,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2, result.stderr
    assert not list(cwd.glob("runs/*"))
    (line,) = result.stderr.splitlines()
    return line


@pytest.mark.slow
def test_a_missing_data_set_is_refused_before_ray_starts(tmp_path: Path) -> None:
    line = refused(tmp_path, "--dataset", "mnist", "--data-root", "empty")
    assert "--dataset digits" in line
    assert "empty/MNIST/raw" in line


def test_a_missing_data_set_is_refused_before_a_run_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    prepare = preparation(GANOptions(data_root=str(tmp_path / "empty")))
    with pytest.raises(UsageError, match=r"empty/MNIST/raw.*--dataset digits"):
        prepare(print, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_images_that_measure_nothing_are_refused_before_ray_starts(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "MNIST" / "raw"
    for kind in ("train", "t10k"):
        write_idx(folder, kind, 200)
    black = folder / "t10k-images-idx3-ubyte"
    black.write_bytes(black.read_bytes()[:16] + bytes(200 * 784))
    assert "all 200 test images of mnist are the same" in refused(tmp_path)


class TestPreparation:
    def prepare(self, run: Path) -> list[str]:
        """What is said as the judges of a run are made ready; the run's record then has them."""
        said: list[str] = []
        prepared = preparation(GANOptions(dataset="digits"))(said.append, run)
        run.mkdir(exist_ok=True)
        (run / "search.json").write_text(json.dumps(dict(prepared.about)))
        return said

    def test_a_run_does_not_go_on_with_another_judge(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(judge, "TRAINING_STEPS", 12)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "here"))
        run = tmp_path / "run"
        self.prepare(run)
        (own,) = (run / "judges").glob("*-seed1.safetensors")
        whole = own.read_bytes()

        own.write_bytes(whole[:-1])
        damaged, *others = self.prepare(run)  # the user's cache has the same
        assert damaged.startswith(f"{own} is not used")
        assert not any("training judge" in line for line in others)
        assert own.read_bytes() == whole

        own.unlink()
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another machine"))
        monkeypatch.setattr(judge, "TRAINING_STEPS", 11)  # as rounding differs there
        with pytest.raises(
            UsageError, match=r"judge 1 of this machine is not the one that the run began with"
        ):
            self.prepare(run)
        assert not own.exists()

        other = tmp_path / "other run"
        self.prepare(other)
        shutil.copy(other / "judges" / own.name, own)  # whole, and for the same images, but another
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "here"))
        swapped, *others = self.prepare(run)
        assert swapped == f"{own} is not used (the run did not begin with it): it is replaced"
        assert own.read_bytes() == whole
