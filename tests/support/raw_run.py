"""A run directory's raw JSON files, read without the project's own readers, and who is compared
with whom.

The definitions are from docs/run-directory.md and docs/decisions/finalists.md. Runs of several
seeds a trial and of population based training are refused.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Item = float | str | None
"""A number that a page must state, or words that must stand between two numbers."""
WHOLE = ("converged", "budget")
CUT_OFF = ("time budget", "target reached", "not asked for")
WORDS = {
    "converged": "converged", "budget": "used the whole budget", "stopped early": "stopped early",
    "diverged": "diverged: a metric was no longer finite", "error": "failed",
    None: "still running",
}  # fmt: skip


class Rough(float):
    """A number that the page states with two digits only."""


@dataclass(frozen=True)
class Trial:
    """A trial's files.

    Attributes:
        last: The last of its ``reports``; empty if there is none.
        losses: The cost and the loss of each report.
        audited: The cost at which it would have been stopped, if it was let run on.
        started, finished: In seconds since 1970.
    """

    number: int
    config: Mapping[str, Any]
    ended: str | None
    error: str | None
    minutes: float | None
    last: Mapping[str, Any]
    losses: Sequence[tuple[float, float]]
    audited: float | None
    started: float
    finished: float | None
    reports: Sequence[Mapping[str, Any]]

    @property
    def loss(self) -> float:
        """The objective to minimize; infinite without a value."""
        return self.losses[-1][1] if self.losses else math.inf

    @property
    def fresh_loss(self) -> float:
        """The loss on a fresh seed: that of a broken training is infinite."""
        return math.inf if self.ended == "error" else self.loss

    @property
    def is_baseline(self) -> bool:
        return "baseline" in self.config


class RawRun:
    """The files of a run directory, and who is compared with whom."""

    def __init__(self, path: Path) -> None:
        self.search = json.loads((path / "search.json").read_bytes())
        self.space = {
            name: {**json.loads(one["distribution"])["attributes"], "at_least": one.get("at_least")}
            for name, one in self.search["space"].items()
        }
        self.objective, self.goal = self.search["objectives"][0], self.search["goal"]
        self.sign = 1 if self.objective["mode"] == "min" else -1
        self.path, self.trials = path, self.read_trials(path)
        self.fresh = self.read_trials(path / "confirmation")
        self.finished = [one for one in self.trials if has_ended(one)]
        whole = [one for one in self.finished if one.ended in WHOLE and math.isfinite(one.loss)]
        self.complete = sorted(whole, key=lambda one: one.loss)
        stopped = [o for o in self.finished if o.ended == "stopped early" and o.loss < math.inf]
        self.ranked = self.complete + sorted(stopped, key=lambda o: (-o.losses[-1][0], o.loss))
        self.best_quarter = self.ranked[: -(-len(self.ranked) // 4)]
        self.finalists = [one for one in self.ranked if self.on_seeds(one)]

    def read_trials(self, folder: Path) -> list[Trial]:
        return [self.read_trial(file.parent) for file in sorted(folder.glob("trial_*/trial.json"))]

    def read_trial(self, folder: Path) -> Trial:
        scheduled = (folder / "schedule.json").exists()
        assert not scheduled, f"{folder}: population based training is not recomputed"
        record, reports = json.loads((folder / "trial.json").read_bytes()), folder / "result.json"
        lines = reports.read_text("utf-8").splitlines() if reports.exists() else []
        rows = {row["step"]: row for row in map(json.loads, lines)}  # a later line replaces
        ordered = [rows[step] for step in sorted(rows)]
        cost, metric = self.search.get("time_attr", "step"), self.objective["metric"]
        losses = [(row[cost], self._loss(row.get(metric))) for row in ordered]
        last = ordered[-1] if ordered else {}
        took = record["finished"] and (record["finished"] - record["started"]) / 60
        names = ("number", "config", "ended", "error", "started", "finished")
        about = {name: record[name] for name in names} | {"audited": record.get("audited")}
        return Trial(**about, minutes=took, last=last, losses=losses, reports=ordered)

    def _loss(self, value: float | None) -> float:
        value = self.objective.get("default") if value is None else value
        return math.inf if value is None or not math.isfinite(value) else self.sign * value

    def on_seeds(self, trial: Trial) -> dict[int, Trial]:
        """The trainings of a trial's settings on fresh seeds that have ended, by seed."""
        ended = [o for o in self.fresh if has_ended(o) and o.config["confirms"] == trial.number]
        return {one.config["seed"]: one for one in ended}

    def reaches(self, trial: Trial) -> bool:
        """Whether a trial's last report reaches the goal."""
        value, bound = trial.last.get(self.goal["metric"]), self.goal["bound"]
        if value is None:
            return False
        return bool(value >= bound if self.goal["at"] == "least" else value <= bound)

    @property
    def winner(self) -> Trial | None:
        """Of those trained on all fresh seeds: the one that reaches the goal on most, and of these
        the one with the best mean objective."""

        def place(one: Trial) -> tuple[int, float]:
            seeds = self.on_seeds(one).values()
            return -sum(map(self.reaches, seeds)), average(seed.fresh_loss for seed in seeds)

        asked = self.search["options"].get("confirm", 0)
        whole = [one for one in self.finalists if asked and len(self.on_seeds(one)) == asked]
        return min(whole, key=place, default=next(iter(self.ranked), None))

    def settings(self, config: Mapping[str, Any]) -> list[Item]:
        """The varied settings that apply, in the order of the space: a name, then its value."""
        return [part for name in self.space if name in config for part in (name, config[name])]

    def words(self, trial: Trial) -> str:
        """How a trial ended."""
        own = {one["name"]: one["words"] for one in self.search.get("outcomes", [])}
        cause = f": {trial.error}" if trial.error else ""
        return str({**own, **WORDS}.get(trial.ended, trial.ended)) + cause


def has_ended(trial: Trial) -> bool:
    return trial.ended is not None and trial.ended not in CUT_OFF


def average(values: Iterable[float]) -> float:
    every = [*values]
    return math.fsum(every) / len(every)
