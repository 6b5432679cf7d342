"""PATH: what did each single change from the hand-tuned settings to the winner's bring?"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import groupby, pairwise
from statistics import mean, stdev
from typing import Any, Literal

from records.checks.check import Check, amount, counted, no_winner
from records.checks.statistics import half_width
from records.finished_trial import FinishedTrial
from records.run import Run

HAND_TUNED = "hand-tuned"
"""Baselines whose names begin with this are hand-tuned; the path begins at the last of them."""

LEVEL = 0.05
"""How often a change without an effect may be said to have one, over all changes together."""

path = partial(
    Check,
    "PATH01",
    detected="The hand-tuned settings were changed into the winner's one at a time, and each step"
    " was trained to its end on the same fresh seeds. The order is that in which a random forest,"
    " fitted to the search's trials, expects the changes to help most. A change is compared with"
    " the step before it, seed by seed, by Student's interval; all intervals together miss 5%.",
    matters="The winner differs from the hand-tuned settings in many values at once. A change that"
    " makes it worse can be undone, which leaves better and simpler settings.",
)


@dataclass(frozen=True)
class Stage:
    """A step of the path: what changed there (empty at the start), and the loss by seed after it.

    A loss is infinite if the training broke.
    """

    changed: str
    losses: Mapping[int, float]

    @property
    def loss(self) -> float:
        """The mean over the seeds."""
        return mean(self.losses.values())


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
    effects = [_effect(run, *pair, len(places) - 1) for pair in pairwise(places)]
    begin, end = (_reached(run, one) for one in (places[0], places[-1]))
    sentence = (
        f"From {run.metric} {begin} to {end} in {counted(len(effects), 'change')}, on"
        f" {counted(len(places[-1].losses), 'fresh seed')} each: {', '.join(map(str, effects))}."
    )
    worse = [one.changed for one in effects if one.told == "worse"]
    if worse:
        return path("tip", f"{sentence} Shown to make it worse: {', '.join(worse)}.")
    unknown = [one.changed for one in effects if one.told == "not shown"]
    if unknown:
        sentence = f"{sentence} Not shown to be more than chance: {', '.join(unknown)}."
        return path("inconclusive", sentence)
    return path("passed", f"{sentence} Each is shown to help.")


@dataclass(frozen=True)
class Effect:
    """What a change did, in words, and whether the seeds show it."""

    changed: str
    words: str
    told: Literal["better", "worse", "not shown"]

    def __str__(self) -> str:
        return f"{self.changed} {self.words}"


def _effect(run: Run, before: Stage, after: Stage, changes: int) -> Effect:
    """The effect of one of the ``changes``: a paired comparison of two steps."""
    seeds = before.losses.keys() & after.losses.keys()
    gains = [before.losses[seed] - after.losses[seed] for seed in sorted(seeds)]
    if not gains or not all(map(math.isfinite, gains)):
        return Effect(after.changed, _gain(run, before.loss - after.loss), "not shown")
    centre, words = mean(gains), _gain(run, mean(gains))
    if len(set(gains)) < 2:
        return Effect(after.changed, words, "not shown")
    half = half_width(stdev(gains), len(gains), 1 - LEVEL / changes)
    words += f" ± {amount(half)}"
    told: Literal["better", "worse", "not shown"] = "not shown"
    if abs(centre) > half:
        told = "better" if centre > 0 else "worse"
    return Effect(after.changed, words, told)


def _can_be_trained(run: Run) -> bool:
    """Whether ``--ablation`` would train a path: not under pbt, nor from the winner to itself."""
    baselines = run.search.get("baselines", {}).items()
    hand_tuned = [settings for name, settings in baselines if name.startswith(HAND_TUNED)]
    own = run.winner.settings if run.winner else {}
    return bool(hand_tuned) and hand_tuned[-1] != own and run.options.get("scheduler") != "pbt"


def _hand_tuned(run: Run) -> list[Stage]:
    """The hand-tuned settings, as starts of a path that was trained without its start."""
    return [
        Stage("", {int(one.config.get("seed", 0)): one.loss})
        for one in run.finished
        if str(one.config.get("baseline", "")).startswith(HAND_TUNED) and math.isfinite(one.loss)
    ]


def _stage(trials: list[FinishedTrial]) -> Stage:
    changed: Any = trials[0].config.get("changed") or ()
    names = changed if isinstance(changed, str) else " and ".join(changed)
    return Stage(names, {int(one.config.get("seed", 0)): one.loss for one in trials})


def _reached(run: Run, stage: Stage) -> str:
    return amount(run.value(stage.loss)) if math.isfinite(stage.loss) else "no value"


def _gain(run: Run, gained: float) -> str:
    """A change's effect on the objective's metric; the loss of a broken training is infinite."""
    if not math.isfinite(gained):
        return {math.inf: "repaired it", -math.inf: "broke it"}.get(gained, "left it broken")
    change = -gained if run.minimizes else gained
    return f"{'+' if change >= 0 else '−'}{amount(abs(change))}"
