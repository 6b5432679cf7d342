"""Bad options: exit status 2, one line on stderr, nothing started, nothing on disk. Some through
the real script, one for each stage at which options are refused; the others through its ``main`` in
this process, which takes a tenth of the time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import tune_gan
import tune_lstm
from records.places import JOB, from_here
from tests.conftest import ROOT, run
from tuning.engine.tuner import TUNE_ENVIRONMENT

MAINS = {"tune_lstm.py": tune_lstm.main, "tune_gan.py": tune_gan.main}

BAD = {
    "--resume-or-start": "--resume-or-start needs a --name: the run to continue",
    "--pip pillow": "--pip is for the nodes of a cluster: give its --address, or leave it out",
    "--num-samples 0": "--num-samples must be 1 to 900,000, got 0",
    "--num-samples many": "--num-samples",
    "--num-samples": "--num-samples",
    "--input-length 1": "--input-length must be at least 2, got 1",
    "--gpus-per-trial -1": "--gpus-per-trial must be 0 or more, got -1",
    "--gpus-per-trial nan": "--gpus-per-trial must be 0 or more, got nan",
    "--gpus-per-trial 1.5": "--gpus-per-trial above 1 must be a whole number, got 1.5",
    "--cpus-per-trial 0": "--cpus-per-trial must be above 0, got 0",
    "--cpus-per-trial 4096": "--cpus-per-trial 4096 is more than this machine has (",
    "--max-concurrent -2": "--max-concurrent must be 0 to 900,000, got -2",
    "--max-steps 0": "--max-steps must be 1 to 10,000,000, got 0",
    "--confirm -1": "--confirm must be 0 to 1,000, got -1",
    "--max-steps 1e30": "--max-steps takes a whole number, got '1e30'",
    "--set hidden_dim=1e12": "of memory and this machine has",
    "--address http://127.0.0.1:8265": "127.0.0.1:8265: that is a dashboard's address",
    "--storage-path /proc/runs": "no run can be kept in /proc: no file can be written there",
    f"--seed {5000 * '9'}": "--seed takes a number with fewer digits",
    "--seed -5": "--seed must be 0 to",
    "--sampler annealing": "annealing",
    "--scheduler median": "median",
    "--scheduler pbt": "this space has none that may change (mutable): take asha, hyperband or",
    "--space extended --set lr_schedule=exponential --ablation": "no baseline whose name begins",
    "--model gru": "gru",
    "--space huge": "huge",
    "--time-budget soon": "--time-budget takes a time such as 90s, 30m or 2h, got soon",
    "--name ../elsewhere": "--name takes letters, digits",
    "--storage-path s3://KEY:SECRET@bucket/runs": "--storage-path must hold no keys: put them into",
    "--storage-path foo://bucket/runs": "cannot be used: foo is none of the schemes s3, gs, abfs",
    "--resume": "--resume: there is no lstm run under runs/",
    "--resume --name gone": "--resume: there is no run gone under runs/",
    "--optuna-storage nonsense": "--optuna-storage nonsense cannot be opened",
    "--warm-start nothing": "--warm-start: there is no run nothing, neither as a folder nor under"
    " runs/",
    "--set lr": "--set lr: takes NAME=VALUE, NAME=LOW..HIGH[:log|:linear][:step=S] or NAME=A,B,C",
    "--set lr=1e-1..1e-4": "lr=0.1..0.0001: the lower end must be below the upper end",
    "--set maxnorm=1": "there is no parameter maxnorm (did you mean max_norm?); there are"
    " optimizer, lr, max_norm, lr_schedule",
    "--set input_length=5": "input_length is not a search parameter; set it with --input-length",
    "--set lr=0.01 --set max_norm=1": "--set is given twice: name all changes after one",
    "--set lr=0.01 max_norm=1": "nothing is left to vary",
    "--space-file gone.toml": "--space-file gone.toml cannot be read: No such file or directory",
    "--learning-rate 0.1": "--learning-rate",
    "stray": "stray",
    "--audit 2": "--audit must be 0 to 1, got 2",
    "--audit 0.1 --scheduler none": "--audit needs --scheduler asha or hyperband, got none",
    "--train lr=0.1": "--train needs a value for max_norm as well",
    "--train gone.json": "--train gone.json cannot be read: No such file or directory",
    "--train lr=0.1 max_norm=1 --num-samples 3": "--train trains one configuration",
    "--in-process": "--in-process needs --train",
    "--train lr=1 max_norm=1 --in-process --gpus-per-trial 0.5": "--gpus-per-trial needs Ray",
    "--train lr=1 max_norm=1 --in-process --time-budget 1h": "--time-budget needs Ray",
    "--train lr=1 max_norm=1 --in-process --address auto": "--address needs Ray",
    "--target 0.9 --confirm 0": "--target needs confirmation seeds: --confirm must be above 0,"
    " got 0",
    "--target nan": "--target must be above 0 and finite, got nan",
    "--objectives accuracy accuracy": "--objectives takes each metric once, got accuracy accuracy",
    "--objectives steps_to_converge": "--objectives steps_to_converge cannot decide which trials"
    " stop early: name another metric first, or add --scheduler none",
}


GAN_BAD = {
    "--dataset cifar10": "cifar10",
    "--space huge": "huge",
    "--max-steps 0": "--max-steps must be 1 to 10,000,000, got 0",
    "--final-steps -1": "--final-steps must be 0 to 10,000,000, got -1",
    "--objectives": "--objectives",
    "--objectives sharpness": "sharpness",
    "--objectives fd clean --sampler cmaes": "--sampler cmaes optimizes one metric only",
    "--objectives fd fd": "--objectives takes each metric once, got fd fd",
    "--set loss=wasserstein": "loss=wasserstein: it takes non-saturating, hinge, least-squares,"
    " relativistic, not wasserstein",
    "--set dataset=digits": "dataset is not a search parameter; set it with --dataset",
    "--num-samples 0": "--num-samples must be 1 to 900,000, got 0",
    "--num-samples 1 --scheduler pbt": "--scheduler pbt needs a population: --num-samples must be"
    " at least 2, got 1",
    "--resume": "--resume: there is no gan run under runs/",
    "--input-length 20": "--input-length",
    "--data-root": "--data-root",
    "--data-root /dev/null": "/dev/null is not a folder: --data-root must be a folder that holds"
    " MNIST/raw",
}


def check_refused(said: str, script: str, message: str, folder: Path) -> None:
    (line,) = said.splitlines()
    assert line.startswith(f"{script}: error: ")
    assert message in line
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    ("script", "arguments", "message"),
    [("tune_lstm.py", *bad) for bad in BAD.items()]
    + [("tune_gan.py", *bad) for bad in GAN_BAD.items()],
)
def test_refused_in_one_line(
    script: str,
    arguments: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [script, *arguments.split()])
    for name in TUNE_ENVIRONMENT:
        monkeypatch.setenv(name, os.environ.get(name, ""))  # to be as it was after the test
    with pytest.raises(SystemExit) as stop:
        MAINS[script]()
    assert stop.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    check_refused(printed.err, script, message, tmp_path)


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("tune_lstm.py", "--num-samples many"),
        ("tune_gan.py", "--resume"),
        pytest.param("tune_lstm.py", "--cpus-per-trial 4096", marks=pytest.mark.slow),
        pytest.param("tune_lstm.py", "--set lr=0.01 max_norm=1", marks=pytest.mark.slow),
        pytest.param("tune_lstm.py", "--optuna-storage nonsense", marks=pytest.mark.slow),
        pytest.param("tune_gan.py", "--data-root /dev/null", marks=pytest.mark.slow),
    ],
)
def test_refused_in_one_line_by_the_script(script: str, arguments: str, tmp_path: Path) -> None:
    result = run(script, *arguments.split(), cwd=tmp_path, timeout=60)
    assert result.returncode == 2
    assert result.stdout == ""
    message = (BAD if script == "tune_lstm.py" else GAN_BAD)[arguments]
    check_refused(result.stderr, script, message, tmp_path)


def test_an_existing_run_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    run_directory = tmp_path / "runs" / "mine"
    run_directory.mkdir(parents=True)
    (run_directory / "search.json").write_text("precious")
    result = run("tune_lstm.py", "--name", "mine", cwd=tmp_path, timeout=60)
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1
    assert "exists already" in result.stderr
    assert [(file.name, file.read_text()) for file in run_directory.iterdir()] == [
        ("search.json", "precious")
    ]


COMMON = (
    "num-samples", "gpus-per-trial", "cpus-per-trial", "max-concurrent", "sampler", "scheduler",
    "seed", "storage-path", "name", "resume", "address", "time-budget", "confirm", "optuna-storage",
    "no-dashboard", "quiet", "warm-start", "audit", "target", "ablation", "set", "space-file",
)  # fmt: skip


@pytest.mark.parametrize(
    ("script", "own"),
    [
        ("tune_lstm.py", ("input-length", "model", "space", "max-steps")),
        (
            "tune_gan.py",
            ("dataset", "data-root", "space", "max-steps", "objectives", "final-steps"),
        ),
    ],
)
def test_help_names_every_option_and_exits_0(
    script: str, own: tuple[str, ...], tmp_path: Path
) -> None:
    result = run(script, "--help", cwd=tmp_path, timeout=60)
    assert result.returncode == 0
    for flag in (*COMMON, *own):
        assert f"--{flag}" in result.stdout


@pytest.mark.parametrize("script", ["tune_lstm", "tune_gan"])
def test_help_imports_neither_ray_nor_torch(script: str) -> None:
    heavy = ("ray", "torch", "optuna", "sklearn")
    code = f"import sys, {script}; sys.exit(any(name in sys.modules for name in {heavy}))"
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def test_a_jobs_folder_that_ray_replaces_is_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "job"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PWD", str(folder))
    folder.rmdir()
    folder.mkdir()
    (folder / "reports").mkdir()
    with pytest.raises(FileNotFoundError):
        from_here(folder / "reports")
    monkeypatch.setenv(JOB, "{}")
    assert from_here(folder / "reports") == "reports"
    assert from_here("reports") == "reports"
    assert from_here(tmp_path / "runs") == str(tmp_path / "runs")
