"""SEED03: how much do seeds differ, beside settings?"""

import math
from functools import partial
from statistics import fmean, variance

from records.checks.check import Check, amount, counted, percent
from records.checks.fresh_seeds import measured_alike
from records.run import Run

MOST_BY_CHANCE = 0.05
differ = partial(
    Check,
    "SEED03",
    detected="The standard deviation between seeds of the same settings, pooled over settings, and"
    " the standard deviation between the settings of the complete trials. The seeds are those of"
    " each trial, if it has several, or else the fresh seeds of the finalists. It passes if"
    " settings differ by more than their seeds explain, in an F-test at 5%.",
    matters="If seeds differ as much as settings, a search of one seed a trial selects lucky seeds."
    " Several seeds a trial (--seeds-per-trial) make the chance part smaller.",
)


def seeds_beside_settings(run: Run) -> Check:
    """SEED03."""
    several = [list(one.by_seed) for one in run.complete if len(one.by_seed) > 1]
    settings = [fmean(values) for values in several]
    seeds, groups = len(several[0]) if several else 1, several
    if not several:
        settings = [run.value(one.loss) for one in run.complete]
        groups = _fresh(run)
    freedom = sum(len(values) - 1 for values in groups)
    if len(settings) < 2 or not freedom:
        sentence = (
            "It takes two complete trials, and two seeds of the same settings; there are"
            f" {counted(len(settings), 'such trial')} and"
            f" {counted(sum(map(len, groups)), 'such seed')}."
        )
        return differ("not applicable", sentence)
    within = sum(variance(values) * (len(values) - 1) for values in groups) / freedom
    between = variance(settings)
    sentence = (
        f"{run.metric} differs by {amount(math.sqrt(within))} between seeds of the same settings"
        f" (standard deviation of {counted(sum(map(len, groups)), 'seed')} of"
        f" {counted(len(groups), 'trial')}), and by {amount(math.sqrt(between))} between the"
        f" settings of {counted(len(settings), 'complete trial')}."
    )
    share = 0.0 if not within else min(1.0, within / seeds / between) if between else 1.0
    sentence += f" Seeds make {percent(share)} of the variance that the search saw."
    if _by_chance(share, len(settings) - 1, freedom) < MOST_BY_CHANCE:
        return differ("passed", sentence)
    words = "So large a difference between settings may come from seeds alone."
    return differ("inconclusive", f"{sentence} {words}")


def _fresh(run: Run) -> list[list[float]]:
    """The metric on the fresh seeds of each finalist that has two or more."""
    if not measured_alike(run):
        return []
    every = [
        [run.value(one.loss) for one in found.values() if math.isfinite(one.loss)]
        for found in run.on_fresh_seeds.values()
    ]
    return [values for values in every if len(values) > 1]


def _by_chance(share: float, settings: int, seeds: int) -> float:
    """How often settings that are alike give so small a share, with these degrees of freedom."""
    from scipy.stats import f

    return float(f.sf(1 / share, settings, seeds)) if share else 0.0
