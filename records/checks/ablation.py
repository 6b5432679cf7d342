"""PATH: what did each single change from the hand-tuned settings to the winner's bring?"""

import math
from dataclasses import dataclass
from functools import partial
from itertools import groupby, pairwise
from statistics import mean
from typing import Any

import numpy as np

from records.checks.check import Check, amount, counted, no_winner
from records.finished_trial import FinishedTrial
from records.run import Run

HAND_TUNED = "hand-tuned"
"""Baselines whose names begin with this are hand-tuned; the path begins at the last of them."""

path = partial(
    Check,
    "PATH01",
    detected="The hand-tuned settings were changed into the winner's one at a time, and each stage"
    " was trained to its end. The order is that in which a random forest, fitted to the search's"
    " trials, expects the changes to help most. The interval is Student's, for the difference of"
    " two trainings, from the winner's fresh seeds.",
    matters="The winner differs from the hand-tuned settings in many values at once. A change that"
    " brought nothing can be undone, which leaves simpler settings.",
)


@dataclass(frozen=True)
class Stage:
    """A stage of the path: what changed there (empty at the start), and the mean loss after it."""

    changed: str
    loss: float


def stages(run: Run) -> list[Stage]:
    """The path as it was trained, the hand-tuned settings first; empty if there is none."""
    groups = groupby(run.ablations, key=lambda one: one.config["ablation"])
    places = [_stage(list(group)) for _, group in groups]
    starts = [one for one in places if not one.changed] or _hand_tuned(run)
    changes = [one for one in places if one.changed]
    return [starts[-1], *changes] if starts and changes else []


def ablation(run: Run) -> Check:
    """PATH01."""
    if run.winner is None:
        return path("not applicable", no_winner(run))
    places = stages(run)
    if not places:
        sentence = f"0 changes from hand-tuned settings to trial {run.winner.number} were trained."
        do = run.commands.resume("--ablation") if _can_be_trained(run) else None
        return path("not applicable", sentence, do=do)
    gains = [(after.changed, before.loss - after.loss) for before, after in pairwise(places)]
    noise = seed_noise(run)
    nothing = [changed for changed, gained in gains if noise is not None and not gained > noise]
    interval = "no interval: it takes two fresh seeds"
    if noise is not None:
        interval = f"95% interval of a change without effect: ± {amount(noise)},"
        interval += f" from {len(run.fresh_seeds)} fresh seeds"
    steps = ", ".join(f"{changed} {_gain(run, gained)}" for changed, gained in gains)
    begin, end = (_reached(run, one) for one in (places[0], places[-1]))
    changes = counted(len(gains), "change")
    sentence = f"From {run.metric} {begin} to {end} in {changes}: {steps} ({interval})."
    if nothing:
        return path("tip", f"{sentence} No gain beyond that: {', '.join(nothing)}.")
    return path("passed", sentence)


def seed_noise(run: Run) -> float | None:
    """The most that two trainings of equal settings differ, 95 times in 100, as a loss.

    None if there are fewer than two fresh seeds.
    """
    from scipy.stats import t

    losses = [one.loss for one in run.fresh_seeds if math.isfinite(one.loss)]
    if len(losses) < 2:
        return None
    return float(t.ppf(0.975, len(losses) - 1)) * float(np.std(losses, ddof=1)) * math.sqrt(2)


def _can_be_trained(run: Run) -> bool:
    """Whether ``--ablation`` would train a path: not under pbt, nor from the winner to itself."""
    baselines = run.search.get("baselines", {}).items()
    hand_tuned = [settings for name, settings in baselines if name.startswith(HAND_TUNED)]
    own = run.winner.settings if run.winner else {}
    return bool(hand_tuned) and hand_tuned[-1] != own and run.options.get("scheduler") != "pbt"


def _hand_tuned(run: Run) -> list[Stage]:
    """The hand-tuned settings, as starts of a path that was trained without its start."""
    names = [(str(one.config.get("baseline", "")), one.loss) for one in run.finished]
    return [
        Stage("", loss)
        for name, loss in names
        if name.startswith(HAND_TUNED) and math.isfinite(loss)
    ]


def _stage(trials: list[FinishedTrial]) -> Stage:
    changed: Any = trials[0].config.get("changed") or ()
    names = changed if isinstance(changed, str) else " and ".join(changed)
    return Stage(names, mean(one.loss for one in trials))


def _reached(run: Run, stage: Stage) -> str:
    return amount(run.value(stage.loss)) if math.isfinite(stage.loss) else "no value"


def _gain(run: Run, gained: float) -> str:
    """A change's effect on the objective's metric; the loss of a broken training is infinite."""
    if not math.isfinite(gained):
        return {math.inf: "repaired it", -math.inf: "broke it"}.get(gained, "left it broken")
    change = -gained if run.minimizes else gained
    return f"{'+' if change >= 0 else '−'}{amount(abs(change))}"
