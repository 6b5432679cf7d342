"""What an LSTM run's page shows: learning curves with those of hand-tuned settings and of the other
model, fresh seeds, and the lr x max_norm map."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from records.run import Run
from reports.content import Answer, Picture, answer, number, save
from reports.experiments import default, lstm_figures
from reports.experiments.default import Section, best_curve, hand_tuned_curves, slices
from reports.experiments.lstm_figures import Length

PICTURES = ("curves", "map", "slices", "confirmation")
TRIAL_METRICS = (
    "accuracy", "mean_accuracy", "log_work", "test_accuracy", "loss", "steps_to_converge",
    "work_to_converge",
)  # fmt: skip
OBJECTIVES = ("mean_accuracy", "log_work")
"""Of these, the table of trials shows the run's own objective only."""

COURSEWORK = {("lstm", 5): 1.0, ("lstm", 10): 1.0, ("lstm", 20): 0.9, ("rnn", 20): 0.45}
"""Held-out accuracy that the coursework reports for its own settings, by model and length; for
T = 20 it says "about"."""


@dataclass(frozen=True)
class ByLength:
    """A run in the comparison of lengths.

    Attributes:
        hand_tuned: What the best hand-tuned settings reached in this run, in words.
    """

    point: Length
    hand_tuned: str


class Page(default.Page):
    """An LSTM's or an RNN's run."""

    template = "lstm.html"
    costs: ClassVar = {"step": "training steps", "work": "time steps trained"}
    logarithmic = ("loss", *default.TO_CONVERGE)
    percentages = ("accuracy", "mean_accuracy", "test_accuracy")

    def title(self, run: Run) -> str:
        return f"{model(run)}, T = {run.fixed['input_length']}"

    def measured(self, run: Run) -> list[str]:
        return ["accuracy", "loss"]

    def columns(self, run: Run) -> list[str]:
        left_out = {*OBJECTIVES} - {run.metric}
        return [name for name in TRIAL_METRICS if name in run.trials and name not in left_out]

    def answer(self, run: Run) -> Answer | None:
        return answer(run, "accuracy", self.shown)

    def pictures(self, run: Run, companions: list[Run], folder: Path) -> dict[str, Picture | None]:
        drawn: dict[str, Picture | None] = dict.fromkeys(PICTURES)
        if run.trials.empty:
            return drawn
        drawn["curves"] = self.learning_curves(run, companions, folder)
        if {"lr", "max_norm", "steps_to_converge"} <= set(run.trials):
            words = f"{self.title(run)}: {len(run.trials)} trials in the lr × max_norm plane"
            figure = lstm_figures.parameter_map(run.trials, run.best, words)
            drawn["map"] = save(figure, folder, "map", f"{words}, by the trial's outcome.")
        if len(run.varied) > 2 and run.metric in run.trials:
            drawn["slices"] = slices(run, self.axis(run, run.metric), folder)
        chance = {"chance": lstm_figures.CHANCE}
        drawn["confirmation"] = self.confirmation(run, "accuracy", folder, chance)
        return drawn

    def learning_curves(self, run: Run, companions: list[Run], folder: Path) -> Picture | None:
        hand_tuned, other = hand_tuned_curves(run), self.other_model(run, companions)
        beside = best_curve(other, f"{model(other)}, best") if other else None
        best = best_curve(run, f"{model(run)}, best")
        curves = [curve for curve in (*hand_tuned, beside, best) if curve]
        if not curves:
            return None
        figure = lstm_figures.learning_curves(hand_tuned, beside, best, self.title(run))
        words = "; ".join(
            f"{curve.label}: accuracy {curve.reports['accuracy'].iloc[-1]:.2f}" for curve in curves
        )
        return save(figure, folder, "curves", f"Loss and accuracy over training steps. {words}.")

    def extra(self, run: Run, companions: list[Run]) -> dict[str, Any]:
        other = self.other_model(run, companions)
        return {"other": other, "beside": self.answer(other) if other else None}

    def other_model(self, run: Run, companions: list[Run]) -> Run | None:
        """The latest run of the other model at the same length that has a learning curve."""

        def fits(other: Run) -> bool:
            try:
                return bool(
                    other.experiment == run.experiment
                    and other.fixed["input_length"] == run.fixed["input_length"]
                    and other.fixed["model"] != run.fixed["model"]
                    and self.answer(other)
                    and best_curve(other, "")
                )
            except Exception:  # a damaged run spoils no other's page; its own says what is wrong
                return False

        return next(filter(fits, reversed(companions)), None)

    def compared(self, run: Run) -> ByLength:
        hand, words = best_hand_tuned(run), ""
        if hand is not None:
            accuracy, step = 100 * hand["accuracy"], number(hand["step"])
            words = f"{hand['baseline']}: {accuracy:.1f}% at step {step}"
        seeds = run.confirmed.get("test_accuracy", pd.Series(dtype=float))
        point = Length(
            model=model(run),
            length=int(run.fixed["input_length"]),
            confirmed=[float(accuracy) for accuracy in seeds.dropna()],
            hand_tuned=None if hand is None else float(hand["accuracy"]),
            coursework=COURSEWORK.get((run.fixed["model"], run.fixed["input_length"])),
        )
        return ByLength(point, words)

    def section(self, runs: list[Any], folder: Path) -> Section:
        runs.sort(key=lambda one: (one.own.point.length, one.own.point.model))
        points = [one.own.point for one in runs]
        words = "; ".join(
            f"{one.model} T = {one.length}: lowest {100 * min(one.confirmed):.2f}%"
            for one in points
            if one.confirmed
        )
        alt = f"Accuracy on fresh seeds and with hand-tuned settings, by length. {words}."
        picture = save(lstm_figures.lengths(points), folder, "lengths", alt)
        return Section("Palindromes by length", "lstm_compared.html", {"picture": picture})


def model(run: Run) -> str:
    """LSTM or RNN."""
    return str(run.fixed["model"]).upper()


def best_hand_tuned(run: Run) -> "pd.Series[Any] | None":
    """The hand-tuned trial that reached the highest accuracy in this run."""
    if "accuracy" not in run.trials:
        return None
    known = run.trials.dropna(subset=["baseline", "accuracy"])
    return None if known.empty else known.sort_values("accuracy", ascending=False).iloc[0]
