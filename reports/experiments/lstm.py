"""What an LSTM run's page shows: learning curves beside hand-tuning and the other model, fresh seeds, the lr x max_norm map."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from records.run import Run
from reports.content import Answer, Picture, answer, number, save, scales
from reports.experiments import default, lstm_figures
from reports.experiments.default import Section, best_curve, label
from reports.experiments.lstm_figures import Length
from reports.figures import printed
from reports.figures.printed import Curve

PICTURES = ("curves", "map", "slices", "confirmation")
TRIAL_METRICS = (
    "accuracy", "mean_accuracy", "log_work", "test_accuracy", "loss", "steps_to_converge", "work_to_converge",
)  # fmt: skip
OBJECTIVES = ("mean_accuracy", "log_work")
"""Of these, a trial's table shows the one that was searched for."""

COURSEWORK = {("lstm", 5): 1.0, ("lstm", 10): 1.0, ("lstm", 20): 0.9, ("rnn", 20): 0.45}
"""Held-out accuracy that the coursework reports for its own settings, by model and length; of T = 20 "about"."""


@dataclass(frozen=True)
class ByLength:
    """A run in the comparison of lengths; ``hand_tuned``: what the best hand-tuned settings reached in it."""

    point: Length
    hand_tuned: str


class Page(default.Page):
    """An LSTM's or an RNN's run."""

    template = "lstm.html"
    costs: ClassVar = {"step": "training steps", "work": "time steps trained"}
    logarithmic = ("loss", "steps_to_converge", "work_to_converge")
    percentages = ("accuracy", "mean_accuracy", "test_accuracy")

    def title(self, run: Run) -> str:
        return f"{str(run.fixed['model']).upper()}, T = {run.fixed['input_length']}"

    def measured(self, run: Run) -> list[str]:
        return ["accuracy", "loss"]

    def columns(self, run: Run) -> list[str]:
        return [
            name
            for name in TRIAL_METRICS
            if name in run.trials and (name not in OBJECTIVES or name == run.metric)
        ]

    def answer(self, run: Run) -> Answer | None:
        return answer(run, "accuracy", self.shown)

    def pictures(self, run: Run, companions: list[Run], folder: Path) -> dict[str, Picture | None]:
        drawn: dict[str, Picture | None] = dict.fromkeys(PICTURES)
        if run.trials.empty:
            return drawn
        title = self.title(run)
        known = run.trials.dropna(subset=["baseline"])
        hand_tuned = [
            Curve(label(row["baseline"], run, row), reports)
            for _, row in known.iterrows()
            if not (reports := run.reports(row["number"])).empty
        ]
        other = self.other_model(run, companions)
        beside, best = (
            best_curve(one, f"{str(one.fixed['model']).upper()}, best") if one else None
            for one in (other, run)
        )
        if any([*hand_tuned, beside, best]):
            figure = lstm_figures.learning_curves(hand_tuned, beside, best, title)
            curves = [curve for curve in (*hand_tuned, beside, best) if curve]
            words = "; ".join(
                f"{curve.label}: accuracy {curve.reports['accuracy'].iloc[-1]:.2f}"
                for curve in curves
            )
            drawn["curves"] = save(
                figure, folder, "curves", f"Loss and accuracy over training steps. {words}."
            )
        if {"lr", "max_norm", "steps_to_converge"} <= set(run.trials):
            words = f"{title}: {len(run.trials)} trials in the lr × max_norm plane"
            drawn["map"] = save(
                lstm_figures.parameter_map(run.trials, run.best, words),
                folder,
                "map",
                f"{words}, by how each ended.",
            )
        if len(run.varied) > 2 and run.metric in run.trials:
            words = f"{run.metric} of every trial, against each setting"
            figure = printed.parameter_slices(
                run.trials, scales(run), run.best, run.metric, words, log=False
            )
            drawn["slices"] = save(
                figure, folder, "slices", f"{words}, marked by how the trial ended."
            )
        drawn["confirmation"] = self.confirmation(
            run, "accuracy", folder, {"chance": lstm_figures.CHANCE}
        )
        return drawn

    def extra(self, run: Run, companions: list[Run]) -> dict[str, Any]:
        other = self.other_model(run, companions)
        return {"other": other, "beside": self.answer(other) if other else None}

    def other_model(self, run: Run, companions: list[Run]) -> Run | None:
        """The latest run of the other model at the same length, to draw beside this one."""

        def is_beside(other: Run) -> bool:
            try:
                same = (
                    other.experiment == run.experiment
                    and other.fixed["input_length"] == run.fixed["input_length"]
                )
                found = (
                    same
                    and other.fixed["model"] != run.fixed["model"]
                    and self.answer(other) is not None
                )
                return bool(found) and best_curve(other, "") is not None
            except Exception:  # a damaged run spoils no other's page; its own says what is wrong
                return False

        return next((other for other in reversed(companions) if is_beside(other)), None)

    def compared(self, run: Run) -> ByLength:
        hand = best_hand_tuned(run)
        words = (
            ""
            if hand is None
            else f"{hand['baseline']}: {100 * hand['accuracy']:.1f}% at step {number(hand['step'])}"
        )
        seeds = (
            run.confirmed["test_accuracy"].dropna().tolist()
            if "test_accuracy" in run.confirmed
            else []
        )
        point = Length(
            model=str(run.fixed["model"]).upper(),
            length=int(run.fixed["input_length"]),
            confirmed=[float(one) for one in seeds],
            hand_tuned=None if hand is None else float(hand["accuracy"]),
            coursework=COURSEWORK.get((run.fixed["model"], run.fixed["input_length"])),
        )
        return ByLength(point, words)

    def section(self, runs: list[Any], folder: Path) -> Section:
        runs.sort(key=lambda one: (one.own.point.length, one.own.point.model))
        points = [one.own.point for one in runs]
        words = "; ".join(
            f"{one.model} T = {one.length}: lowest {min(one.confirmed):.4f}"
            for one in points
            if one.confirmed
        )
        alt = f"Accuracy on fresh seeds by length, beside hand-tuned settings. {words}."
        picture = save(lstm_figures.lengths(points), folder, "lengths", alt)
        return Section("Palindromes by length", "lstm_compared.html", {"picture": picture})


def best_hand_tuned(run: Run) -> "pd.Series[Any] | None":
    """The hand-tuned trial that reached the highest accuracy in this run."""
    if "accuracy" not in run.trials:
        return None
    known = run.trials.dropna(subset=["baseline", "accuracy"]).sort_values(
        "accuracy", ascending=False
    )
    return None if known.empty else known.iloc[0]
