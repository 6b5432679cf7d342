"""PATH: which single change from the hand-tuned settings to the winner bought what?"""

import math
from dataclasses import dataclass
from functools import partial
from itertools import groupby, pairwise
from statistics import mean
from typing import Any

import numpy as np

from records.checks.check import Check, amount
from records.finished_trial import FinishedTrial
from records.run import Run

path = partial(
    Check,
    "PATH01",
    detected="The settings on the way from the hand-tuned ones to the winner's, one change at a time, each trained to its end,"
    " in the order in which a forest over the search's trials expected them to help most. Seeds move a difference of two"
    " trainings by as much as Student's t and the winner's fresh seeds say.",
    matters="A winner differs from the hand-tuned settings in everything at once. What bought nothing can be taken back, and"
    " the settings are simpler for it.",
)


@dataclass(frozen=True)
class Stage:
    """A place on the path: what changed there (empty where it begins), and the mean loss after it."""

    changed: str
    loss: float


def stages(run: Run) -> list[Stage]:
    """The path as it was trained, the hand-tuned settings first; empty where there is none."""
    places = [
        list(group) for _, group in groupby(run.ablations, key=lambda one: one.config["ablation"])
    ]
    start = _start(run, places)
    changes = [Stage(_names(group), _loss(group)) for group in places if _names(group)]
    return [Stage("", start), *changes] if changes and start is not None else []


def ablation(run: Run) -> Check:
    """PATH01."""
    if run.winner is None or run.objective is None:
        return path(
            status="not applicable", sentence="There is no winner: 0 trials used their budget."
        )
    places = stages(run)
    if not places:
        sentence = f"0 changes between hand-tuned settings and trial {run.winner.number} were trained one at a time."
        return path(
            status="not applicable", sentence=sentence, do=run.commands.resume("--ablation")
        )
    gains = [(after.changed, before.loss - after.loss) for before, after in pairwise(places)]
    noise = seed_noise(run)
    nothing = [changed for changed, gained in gains if noise is not None and gained <= noise]
    words = "without an interval: it takes two fresh seeds"
    if noise is not None:
        words = f"95% interval of a change that does nothing: ± {amount(noise)}, from {len(run.fresh_seeds)} fresh seeds"
    steps = ", ".join(f"{changed} {_gain(run, gained)}" for changed, gained in gains)
    begin, end = (amount(run.value(one.loss)) for one in (places[0], places[-1]))
    sentence = f"From {run.metric} {begin} to {end} in {len(gains)} changes: {steps} ({words})."
    if nothing:
        return path(
            status="tip", sentence=f"{sentence} Bought nothing beyond that: {', '.join(nothing)}."
        )
    return path(status="passed", sentence=sentence)


def _start(run: Run, places: list[list[FinishedTrial]]) -> float | None:
    """The loss where the path begins: trained as part of it, else that of the hand-tuned trial of the search."""
    if places and not _names(places[0]):
        return _loss(places[0])
    known = [one for one in run.finished if "baseline" in one.config and math.isfinite(one.loss)]
    return known[0].loss if known else None


def _names(group: list[FinishedTrial]) -> str:
    """What changed at this place of the path; empty where it begins."""
    changed: Any = group[0].config.get("changed") or ()
    return changed if isinstance(changed, str) else " and ".join(changed)


def _loss(group: list[FinishedTrial]) -> float:
    return mean(one.loss for one in group)


def _gain(run: Run, gained: float) -> str:
    """What a change did to the objective, in its own direction."""
    if not math.isfinite(gained):
        return "broke it"
    change = gained if run.objective is not None and run.objective.mode == "max" else -gained
    return f"{'+' if change >= 0 else '−'}{amount(abs(change))}"


def seed_noise(run: Run) -> float | None:
    """By how much two trainings of the same settings differ at most, 95 times in 100; None without two fresh seeds."""
    from scipy.stats import t

    losses = [one.loss for one in run.fresh_seeds if math.isfinite(one.loss)]
    if len(losses) < 2:
        return None
    return float(t.ppf(0.975, len(losses) - 1)) * float(np.std(losses, ddof=1)) * math.sqrt(2)
