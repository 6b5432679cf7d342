"""Run directories made up for the checks: a space, trials, fresh seeds and a path of changes."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from records.objective import Goal, Objective
from records.run import Run
from records.run_directory import RunDirectory
from records.store import write_json
from records.trial_directory import TrialRecord
from search_spaces import SearchSpace
from search_spaces.gan import SPACES as GAN_SPACES
from search_spaces.lstm import SPACES as LSTM_SPACES


class MadeRun:
    """A run directory as a search leaves it, with figures of the test's choosing."""

    def __init__(
        self,
        path: Path,
        space: SearchSpace,
        objective: Objective,
        goal: Goal,
        command: str,
        **options: Any,
    ) -> None:
        self.run = RunDirectory(path)
        self.objective = objective
        distributions = {
            name: {"distribution": str(p.distribution), "reason": p.reason, "only_if": p.only_if}
            for name, p in space.parameters.items()
        }
        about = {
            "space": distributions,
            "baselines": space.baselines,
            "objectives": [asdict(objective)],
            "goal": asdict(goal),
            "rungs": [100, 300],
            "startup_trials": 3,
            "options": {"storage_path": "runs", "sampler": "tpe", **options},
            "sessions": [{"command": command, "started": 0.0}],
            "experiment": "lstm",
        }
        write_json(path / "search.json", about)

    def describe(self, **about: Any) -> None:
        """Change entries of ``search.json``; ``options`` are added to the run's own."""
        search = self.run.read() or {}
        own = {"options": {**search["options"], **about.pop("options", {})}}
        write_json(self.run.path / "search.json", {**search, **own, **about})

    def trial(
        self,
        number: int,
        settings: Mapping[str, Any],
        figures: float | Mapping[int, float] | None,
        ended: str | None = "budget",
        error: str | None = None,
        run: RunDirectory | None = None,
        row: Mapping[str, Any] | None = None,
        **config: Any,
    ) -> None:
        """A trial with these ``figures`` of the objective: one at step 900, or by step."""
        directory = (run or self.run).trial(number)
        directory.write(
            TrialRecord(number, {**settings, "seed": number, **config}, ended=ended, error=error)
        )
        by_step = (
            figures if isinstance(figures, Mapping) else {} if figures is None else {900: figures}
        )
        for step, value in by_step.items():
            report = {"step": step, self.objective.metric: value, "train_loss": [0.1, 0.2]}
            directory.append({**report, **(row or {})})

    def confirmed(
        self, winner: int, settings: Mapping[str, Any], rows: list[dict[str, Any]], **config: Any
    ) -> None:
        """The winner's fresh seeds, each with its last row; one without a row broke."""
        for number, row in enumerate(rows):
            directory = self.run.confirmation().trial(number)
            own = {"seed": 900_000 + number, "trial": number, "confirms": winner}
            whole = {**settings, **config, **own}
            directory.write(TrialRecord(number, whole, ended="budget" if row else "error"))
            if row:
                directory.append({"step": 900, **row})

    def changed(self, changes: Sequence[tuple[Any, float | Sequence[float]]]) -> None:
        """The path from hand-tuned settings to trial 1: changes, and figures after them, one for
        each seed."""
        path, number = self.run.ablation(1), 0
        shutil.rmtree(path.path, ignore_errors=True)
        for place, (changed, figures) in enumerate(changes):
            every = figures if isinstance(figures, Sequence) else (figures,)
            for seed, figure in enumerate(every, start=999_990):
                own: dict[str, Any] = {"ablation": place, "changed": changed, "seed": seed}
                self.trial(number, {"lr": 0.01, "max_norm": 1.0}, figure, run=path, **own)
                number += 1

    def winner(self, number: int) -> None:
        write_json(self.run.path / "best" / "metrics.json", {"trial": number})

    @property
    def opened(self) -> Run:
        return Run(self.run.path)


Make = Callable[..., MadeRun]


@pytest.fixture
def lstm(tmp_path: Path) -> MadeRun:
    """A run over lr (0.0001 to 0.1) and max_norm (0.001 to 10), log scales; maximizes accuracy."""
    command = "python tune_lstm.py --input-length 4 --num-samples 8 --name made"
    objective, goal = Objective("mean_accuracy", "max"), Goal("test_accuracy", "least", 0.99)
    return MadeRun(tmp_path / "made", LSTM_SPACES["lstm", "core"], objective, goal, command)


@pytest.fixture
def gan(tmp_path: Path) -> MadeRun:
    """A run over the GAN's extended space; fd is minimized."""
    objective, goal = Objective("fd", "min"), Goal("fd_ratio", "most", 2.0)
    command = "python tune_gan.py --name gan --dataset digits"
    return MadeRun(tmp_path / "gan", GAN_SPACES["extended"], objective, goal, command)
