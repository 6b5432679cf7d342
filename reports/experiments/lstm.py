"""What an LSTM run's page shows: learning curves with those of hand-tuned settings and of the other
model, fresh seeds, and the lr x max_norm map."""

from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from records.checks.check import counted
from records.run import Run
from reports.content import Picture, number, save
from reports.experiments import default, lstm_figures
from reports.experiments.default import (
    Pictures,
    Section,
    best_curve,
    best_hand_tuned,
    hand_tuned_curves,
    slices,
)  # fmt: skip
from reports.experiments.lstm_figures import Length
from reports.figures import printed

TRIAL_METRICS = (
    "accuracy", "mean_accuracy", "log_work", "test_accuracy", "loss", "steps_to_converge",
    "work_to_converge",
)  # fmt: skip
OBJECTIVES = ("mean_accuracy", "log_work")
"""Of these, the table of trials shows the run's own objective only."""

FIT_A_PHONE = 6
"""Runs, at most, that have room beside one another in a narrow window."""

COURSEWORK = {("lstm", 5): 1.0, ("lstm", 10): 1.0, ("lstm", 20): 0.9, ("rnn", 20): 0.45}
"""Held-out accuracy that the coursework reports for its own settings, by model and length; for
T = 20 it says "about"."""


class Page(default.Page):
    """An LSTM's or an RNN's run."""

    template = "lstm.html"
    costs: ClassVar = {"step": "training steps", "work": "time steps trained"}
    logarithmic = ("loss", *default.TO_CONVERGE)
    of_the_answer = ("model",)

    def suits(self, run: Run) -> bool:
        return {"model", "input_length"} <= {*run.fixed}

    def title(self, run: Run) -> str:
        return f"{model(run)}, T = {run.fixed['input_length']}"

    def measured(self, run: Run) -> list[str]:
        return ["accuracy", "loss"]

    def columns(self, run: Run) -> list[str]:
        left_out = {*OBJECTIVES} - {run.metric}
        return [name for name in TRIAL_METRICS if name in run.trials and name not in left_out]

    def result(self, run: Run) -> str:
        return "accuracy"

    def pictures(self, run: Run, companions: list[Run], folder: Path) -> Pictures:
        chance = {"chance": lstm_figures.CHANCE}
        more = len(run.varied) > 2  # than the map shows
        return {
            **super().pictures(run, companions, folder),
            "curves": lambda: self.learning_curves(run, companions, folder),
            "map": lambda: self.map(run, folder),
            "slices": lambda: slices(run, self.axis(run, run.metric), folder) if more else None,
            "confirmation": lambda: self.confirmation(run, "accuracy", folder, chance),
        }

    def map(self, run: Run, folder: Path) -> Picture | None:
        """Every trial in the plane of lr and max_norm."""
        if not {"lr", "max_norm", "steps_to_converge"} <= {*run.trials}:
            return None
        trials = counted(len(run.trials), "trial")
        words = f"{self.title(run)}: {trials} in the lr × max_norm plane"
        figure = lstm_figures.parameter_map(run.trials, run.best, words)
        return save(figure, folder, "map", f"{words}, by the trial's outcome.")

    def learning_curves(self, run: Run, companions: list[Run], folder: Path) -> Picture | None:
        hand_tuned, other = hand_tuned_curves(run), self.other_model(run, companions)
        beside = best_curve(other, f"{model(other)}, best") if other else None
        best = best_curve(run, f"{model(run)}, best")
        curves = [curve for curve in (*hand_tuned, beside, best) if curve]
        if not curves:
            return None
        draw = partial(lstm_figures.learning_curves, hand_tuned, beside, best, self.title(run))
        words = "; ".join(
            f"{curve.label}: accuracy {curve.reports['accuracy'].iloc[-1]:.2f}" for curve in curves
        )
        alt = f"Loss and accuracy over training steps. {words}."
        return save(draw(), folder, "curves", alt, draw(columns=1))

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

    def compared(self, run: Run) -> Length:
        hand = best_hand_tuned(run, "accuracy")
        seeds = [one.last.get("test_accuracy") for one in run.fresh_seeds]
        return Length(
            model=model(run),
            length=int(run.fixed["input_length"]),
            confirmed=[float(accuracy) for accuracy in seeds if accuracy is not None],
            hand_tuned=None if hand is None else float(hand["accuracy"]),
            coursework=COURSEWORK.get((run.fixed["model"], run.fixed["input_length"])),
        )

    def section(self, runs: list[Any], folder: Path) -> Section:
        runs.sort(key=lambda one: (one.own.length, one.own.model))
        points = [one.own for one in runs]
        words = "; ".join(
            f"{one.model} T = {one.length}: lowest {number(min(one.confirmed))}"
            for one in points
            if one.confirmed
        )
        alt = f"Accuracy on fresh seeds and with hand-tuned settings, by length. {words}."
        draw = partial(lstm_figures.lengths, points)
        narrow = draw(printed.WIDTHS[1]) if len(points) <= FIT_A_PHONE else None
        picture = save(draw(), folder, "lengths", alt, narrow)
        return Section("Palindromes by length", "lstm_compared.html", {"picture": picture})


def model(run: Run) -> str:
    """LSTM or RNN."""
    return str(run.fixed["model"]).upper()
