"""How many trials should share a GPU: the rule, the command to paste, and what is refused. The very
same measurement on CPU cores, through the real Ray, and on nodes that declare a GPU.
"""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from command_line import UsageError
from search_spaces.lstm import SPACES
from tests.conftest import ROOT, environment, run
from tests.support.nodes import ON_LOOPBACK, Cluster
from tests.support.processes import check_ended, descendants, named, wait_for
from tune_lstm import LSTMOptions, lstm_task
from tuning.engine.probe import Level, Memory
from tuning.probe import configs_of, fits, reasons, recommended, room_each, search_command

GB = 10**9


def level(trials: int, steps_per_s: float, held: float = 1, used: float | None = None) -> Level:
    """A level on a card of 80 GB, by default with 0.5 GB for each CUDA context."""
    every = trials * (held + 0.5) if used is None else used
    memory = Memory(int(held * GB), int(every * GB), 80 * GB)
    return Level(trials, steps_per_s, (memory,) * trials)


OUT_OF_MEMORY = Level(4, 0.0, ())


@pytest.mark.parametrize(
    ("levels", "needed", "trials"),
    [
        ([level(1, 100), level(2, 190), level(4, 300), level(8, 310)], 0, 4),
        ([level(1, 100), level(2, 200), level(4, 400), level(8, 800)], 0, 8),
        ([level(1, 100), level(2, 109)], 0, 1),
        ([level(1, 100), level(2, 110)], 0, 2),
        ([level(1, 100), level(2, 70), level(4, 400)], 0, 1),  # one that is no better ends it
        ([level(1, 100), level(2, 190), OUT_OF_MEMORY], 0, 2),
        ([Level(1, 0.0, ())], 0, None),
        # 80 GB for two trials, less 0.5 GB for each context
        ([level(1, 100), level(2, 190)], 39.4 * GB, 2),
        ([level(1, 100), level(2, 190)], 39.6 * GB, 1),
        ([level(1, 100), level(2, 190)], 79.6 * GB, None),
        # Another program has 60 GB of the card
        ([level(1, 100, 1, 61.5), level(2, 190, 1, 63)], 9 * GB, 2),
        ([level(1, 100, 1, 61.5), level(2, 190, 1, 63)], 10 * GB, 1),
    ],
)
def test_trials_are_added_as_long_as_it_pays_and_they_fit(
    levels: list[Level], needed: float, trials: int | None
) -> None:
    best = recommended(levels, needed)
    assert (best and best.trials) == trials


def test_what_a_trial_can_have_is_the_card_without_contexts_and_other_programs() -> None:
    assert room_each(level(4, 100, held=1, used=4 + 4 * 0.5 + 10)) == (80 - 12) / 4 * GB
    assert fits(level(4, 100, held=1, used=16), 17 * GB)
    assert not fits(level(4, 100, held=1, used=16), 17.1 * GB)


@pytest.mark.parametrize(
    ("levels", "needed", "said"),
    [
        (
            [level(1, 100), level(2, 190), level(4, 195)],
            0,
            [
                "2 trials on a GPU take 1.9 times as many steps as 1",
                "4 trials change that by +3%: less than +10%",
            ],
        ),
        ([level(1, 100), level(2, 74)], 0, ["2 trials change that by -26%: less than +10%"]),
        (
            [level(1, 100), level(2, 190), OUT_OF_MEMORY],
            0,
            [
                "2 trials on a GPU take 1.9 times as many steps as 1",
                "4 trials run out of its memory",
            ],
        ),
        (
            [level(1, 100), level(2, 190)],
            50 * GB,
            ["2 trials with the largest settings do not fit in its memory"],
        ),
        (
            [level(1, 100)],
            0,
            ["there are no CPU cores for more trials: a lower --cpus-per-trial makes room"],
        ),
    ],
)
def test_the_reason_is_said(levels: list[Level], needed: float, said: list[str]) -> None:
    best = recommended(levels, needed)
    assert best is not None
    assert [*reasons(levels, best, needed)] == said


@pytest.mark.parametrize(
    ("arguments", "kept"),
    [
        ("--probe-gpu", ""),
        ("--probe_gpu --name a", "--name a "),
        ("--gpus-per-trial 1 --probe-gpu --set lr=1 b=2", "--set lr=1 b=2 "),
        ("--gpus_per_trial=1 --set lr=1 --probe-gpu", "--set lr=1 "),
        ("--set lr=1 --probe-gpu --gpus-per-trial 0.5", "--set lr=1 "),
    ],
)
def test_the_command_is_the_same_with_the_fraction_in_place_of_the_probe(
    arguments: str, kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["tune_lstm.py"])
    expected = f"python tune_lstm.py {kept}--gpus-per-trial 0.125"
    assert search_command(1 / 8, arguments.split()) == expected


def test_the_first_baseline_is_trained_on_each_seed_or_a_point_of_the_design() -> None:
    options = LSTMOptions(seed=7, seeds_per_trial=2)
    task = lstm_task(options)
    name, values = next(iter(task.space.baselines.items()))
    configs, origin = configs_of(options, task)
    assert origin == f"the settings of “{name}”"
    assert [config["seed"] for config in configs] == [7, 8]
    assert all(config.items() >= {**values, "input_length": 20}.items() for config in configs)
    space = replace(SPACES["lstm", "core"], baselines={})
    (config, _), origin = configs_of(options, replace(task, space=space))
    assert origin == "the first point of the design"
    assert config.keys() >= space.parameters.keys()


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"resume": True}, "--resume"),
        ({"train": ("lr=1", "max_norm=1")}, "--train"),
        ({"in_process": True}, "--in-process"),
    ],
)
def test_what_trains_something_else_is_refused(other: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError) as refused:
        LSTMOptions(probe_gpu=True, **other)  # type: ignore[arg-type]
    assert str(refused.value) == f"--probe-gpu measures new trials in Ray: leave out {said}"


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_it_is_refused_in_one_line(tmp_path: Path) -> None:
    result = run("tune_lstm.py", "--probe-gpu", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stdout == ""
    assert re.fullmatch(
        r"tune_lstm\.py: error: --probe-gpu needs a GPU, and torch \S+ finds none on this machine:"
        r" probe where there is one, or join a cluster that has one with --address\n",
        result.stderr,
    )
    assert [*tmp_path.iterdir()] == []


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    started = Cluster()
    try:
        started.start()
        yield started
    finally:
        started.end()


@pytest.mark.slow
def test_a_cluster_without_a_gpu_or_with_one_that_torch_cannot_use_is_refused(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ON_LOOPBACK.items():
        monkeypatch.setenv(name, value)

    def refusal() -> str:
        result = run("tune_lstm.py", "--probe-gpu", "--address", cluster.address, cwd=tmp_path)
        assert (result.returncode, result.stdout) == (2, ""), result.stderr
        (line,) = result.stderr.splitlines()
        assert [*tmp_path.iterdir()] == []
        return line.removeprefix("tune_lstm.py: error: ")

    assert refusal() == (
        "--probe-gpu needs a node with a GPU and 1 CPU for each trial, and Ray sees none:"
        " join a cluster that has one, or search with --gpus-per-trial 0"
    )
    cluster.join("declares", 4, gpus=1)
    if not torch.cuda.is_available():
        assert re.fullmatch(
            r"Ray gave this trial 1 GPU on .*, but torch \S+ cannot use it: install a torch that"
            r" fits the node's GPU driver, or search with --gpus-per-trial 0",
            refusal(),
        )


PROBE = """
import sys

from tuning.interruption import early_exit

if __name__ == "__main__":
    early_exit.install()
    from tune_lstm import LSTMOptions, lstm_task
    from tuning.parse_options import parse
    from tuning.probe import probe

    options = parse(LSTMOptions)
    sys.exit(probe(options, lstm_task(options), gpu=False))
"""


@pytest.mark.slow
def test_the_same_measurement_on_cpu_cores(tmp_path: Path) -> None:
    (tmp_path / "probe.py").write_text(PROBE)
    home = tmp_path / "home"
    home.mkdir()
    command = "probe.py --probe-gpu --cpus-per-trial 0.5 --input-length 5 --seeds-per-trial 2"
    result = subprocess.run(
        [sys.executable, *command.split(), "--max-steps", "400"],
        cwd=tmp_path,
        env={**environment(), "PYTHONPATH": str(ROOT), "HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
        timeout=550,
    )
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    said = result.stdout.splitlines()
    assert said[0] == "device     CPU cores on node 127.0.0.1"
    assert said[1] == "trained    the settings of “hand-tuned, defaults”: lr=0.001 max_norm=10"
    rows = [re.split(r"\s{2,}", line.strip()) for line in said[3 : said.index(largest(said))]]
    levels = [1, 2, 4, 8][: len(rows)]
    assert [int(row[0]) for row in rows] == levels
    assert len(levels) >= 2
    together = [float(row[1].replace(",", "")) for row in rows]
    each = [float(row[2].replace(",", "")) for row in rows]
    for trials, all_, one in zip(levels, together, each, strict=True):
        assert one > 0
        assert abs(all_ / trials - one) <= 0.5 + 0.05 * trials
    best = re.fullmatch(r"recommend  --gpus-per-trial (\S+)", said[-2])
    assert best is not None
    assert 1 / float(best[1]) in levels
    assert said[-1] == (
        "next       python probe.py --cpus-per-trial 0.5 --input-length 5 --seeds-per-trial 2"
        f" --max-steps 400 --gpus-per-trial {best[1]}"
    )
    assert {path.name for path in tmp_path.iterdir()} == {"probe.py", "home"}
    assert {path.name for path in home.iterdir()} <= {".ray"}  # Ray's token


@pytest.mark.slow
def test_an_interrupted_probe_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "probe.py").write_text(PROBE)
    process = subprocess.Popen(
        [sys.executable, "probe.py", "--probe-gpu"],
        cwd=tmp_path,
        env={**environment(), "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: bool(named(process.pid, "ray::ProbedTrial")), process)
    started = descendants(process.pid)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert out.splitlines()[-1] == "interrupted: start again with the same command"
    assert err == "training 1 at once\n"
    check_ended(started)
    assert [path.name for path in tmp_path.iterdir()] == ["probe.py"]


def largest(said: list[str]) -> str:
    (line,) = (line for line in said if line.startswith("largest "))
    assert re.fullmatch(r"largest    settings of this space need about \S+ MB a trial", line)
    return line
