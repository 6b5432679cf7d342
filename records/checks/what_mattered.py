"""WHAT: which parameters mattered, at the end and at each rung?"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np

from records.checks.check import Check, Interval, Status, amount, between, counted, percent
from records.checks.importances import Importances, Sample, fanova, intervals, ped_anova, resamples
from records.finished_trial import FinishedTrial
from records.run import Run
from records.surrogate import Surrogate
from search_spaces import contains
from search_spaces.set_syntax import texts_of

ENOUGH = 10
"""With fewer comparable trials importances are noise."""
MOST = 100
"""Of more trials so many are drawn at random: fANOVA over 1,000 takes half a minute."""
LEVEL = 0.025
"""Spearman's p-value below which the metric depends on the settings. A level of 0.05 is met by 6%
of made searches of pure noise (``benchmarks.checks``)."""
HARDLY = 0.05
"""A parameter whose interval ends below this fraction hardly mattered."""
NAMED = 4
"""Parameters named in a sentence."""
SURELY = 0.95
"""A parameter leads at a budget if it does so in this fraction of the resamples."""
TREES = 32
"""Trees of a forest; a forest over a resample has an eighth of them."""

at_the_end = partial(
    Check,
    "WHAT01",
    detected="Optuna's fANOVA (Hutter et al. 2014) fits a forest of trees to the objective, each"
    " range on its own scale, and gives the fraction that each parameter explains alone; the"
    " fractions add up to 100%, and the intervals are from 24 resamples of the trials. PED-ANOVA"
    " (Watanabe et al. 2023) asks what distinguishes the best tenth of the trials. Only trials"
    " that used their budget or converged count; those that were stopped early, the poorer ones,"
    " are missing.",
    matters="What hardly matters can be fixed; the trials then explore what does matter.",
)
at_rungs = partial(
    Check,
    "WHAT02",
    detected="PED-ANOVA over all trials that reached a rung, by their objective there, with an"
    " interval from 24 resamples of the trials. It is a tip if one parameter leads at a rung in 95%"
    " of the resamples and another at another. At the first rung hardly any trial is missing; at"
    " later rungs only those are left that were not stopped.",
    matters="Early stopping judges by the first rungs. If other parameters decide there than at"
    " the end, it may stop the wrong trials.",
)


def importances(run: Run) -> Check:
    """WHAT01."""
    samples = _thinned(_samples(run, run.complete))
    if (missing := _too_few(run, samples)) is not None:
        return at_the_end(_more_would_tell(run, len(samples) >= ENOUGH), missing)
    common = [name for name in run.parameters if all(name in settings for settings, _ in samples)]
    varied = [name for name in common if len({settings[name] for settings, _ in samples}) > 1]
    if len(varied) < 2:
        sentence = f"Fewer than two parameters vary in all {len(samples)} comparable trials."
        return at_the_end("not applicable", sentence)
    forest = f"A random forest fitted to {len(samples)} comparable trials"
    surrogate = Surrogate(run.parameters, samples)
    explained = surrogate.explained
    if not (explained > 0 and surrogate.chance < LEVEL):
        sentence = f"{forest} is not shown to predict held-out trials better than their mean"
        sentence += (
            f" (out-of-bag R² {amount(explained, 2)}, p = {amount(surrogate.chance, 2)}), so no"
        )
        sentence += f" importances are reported. {2 * len(samples)} trials may show more."
        return at_the_end("inconclusive", sentence, do=run.commands.resume(*run.more_trials))
    fractions = fanova(run, samples, varied, TREES)
    if not fractions:
        return at_the_end("not applicable", f"{forest} finds no difference between them.")
    resampled = resamples(samples, lambda drawn, seed: fanova(run, drawn, varied, TREES // 8, seed))
    ends = intervals(fractions, resampled)
    sentence = _importances_sentence(run, samples, fractions, ends)
    if unjudged := len(run.parameters) - len(varied):
        parameters = counted(unjudged, "parameter")
        sentence += f" Not judged: {parameters} that these trials do not all vary."
    sentence += f" The forest predicts {percent(explained)} of the variance of held-out trials."
    hardly = [name for name in varied if ends[name].high < HARDLY]
    if hardly and run.winner is not None:
        best = run.winner.settings
        changes = texts_of({name: best[name] for name in hardly if name in best})
        sentence += f" Hardly mattered: {', '.join(hardly)}."
        return at_the_end("tip", sentence, do=run.commands.again(*changes))
    return at_the_end("passed", sentence)


def _importances_sentence(
    run: Run, samples: list[Sample], fractions: Importances, ends: dict[str, Interval]
) -> str:
    peds = ped_anova(run, samples)
    first = leader(peds)
    largest = sorted(fractions.items(), key=lambda one: -one[1])[:NAMED]
    told = "; ".join(
        f"{name} {percent(fraction)} ({between(ends[name])})" for name, fraction in largest
    )
    return (
        f"fANOVA over {len(samples)} of {counted(len(run.finished), 'trial')}, those that"
        f" completed the training: {told}; PED-ANOVA puts {first} first ({percent(peds[first])})."
    )


def importances_at_rungs(run: Run) -> Check:
    """WHAT02."""
    words, leaders, surely = [], [], set()
    for one in at_budgets(run):
        if not one.importances:
            words.append(f"{one.budget}: {counted(one.trials, 'comparable trial')}, too few")
            continue
        first = leader(one.importances)
        leads = sum(leader(drawn) == first for drawn in one.resamples) / len(one.resamples)
        leaders.append(first)
        surely |= {first} if leads >= SURELY else set()
        fraction = f"{percent(one.importances[first])} ({between(one.intervals[first])})"
        words.append(f"{one.label}: {first} {fraction}")
    if len(leaders) < 2:
        sentence = f"It takes {ENOUGH} comparable trials at two budgets, not at {len(leaders)}"
        status = _more_would_tell(run, enough=not run.search.get("rungs"))
        return at_rungs(status, f"{sentence}: {'; '.join(words)}.")
    sentence = f"The most important parameter, by PED-ANOVA: {'; '.join(words)}."
    if len({*leaders}) == 1:
        return at_rungs("passed", sentence)
    if len(surely) > 1:
        return at_rungs("tip", sentence)
    sentence += f" Not shown to differ: none leads in {percent(SURELY)} of the resamples at one"
    return at_rungs("inconclusive", f"{sentence} budget while another does at another.")


def leader(importances: Importances) -> str:
    """The parameter with the largest."""
    return max(importances, key=importances.__getitem__)


@dataclass(frozen=True)
class AtBudget:
    """PED-ANOVA's importances of the parameters at a budget.

    Attributes:
        trials: How many trials compare there.
        importances: Empty if these are too few.
        resamples: The importances in resamples of the trials.
    """

    budget: str
    trials: int
    importances: Importances
    resamples: list[Importances]

    @property
    def label(self) -> str:
        return f"{self.budget}, {self.trials} trials"

    @property
    def intervals(self) -> dict[str, Interval]:
        """Each parameter's 95% interval."""
        return intervals(self.importances, self.resamples)


@lru_cache(maxsize=1)  # the check and the figure need the same, which takes a second
def at_budgets(run: Run) -> list[AtBudget]:
    """The importances at every rung and at the end."""
    found = []
    for budget, samples in _by_budget(run):
        compared = _too_few(run, samples) is None
        importances = ped_anova(run, samples) if compared else {}
        drawn = resamples(samples, lambda drawn, _: ped_anova(run, drawn)) if compared else []
        found.append(AtBudget(budget, len(samples), importances, drawn))
    return found


def _by_budget(run: Run) -> Iterator[tuple[str, list[Sample]]]:
    """The comparable trials at every rung and at the end."""
    for rung in run.search.get("rungs", []):
        yield f"{run.time_attr} {rung:,}", _thinned(_samples(run, run.finished, rung))
    yield "the end", _thinned(_samples(run, run.complete))


def _samples(run: Run, trials: list[FinishedTrial], rung: float | None = None) -> list[Sample]:
    """Settings of the trials and their loss at a rung, or else at the end, if they have one.

    A baseline whose settings lie outside the space is left out.
    """
    samples = []
    for one in trials:
        loss = one.loss if rung is None else one.loss_at(rung)
        inside = all(
            contains(run.parameters[name].distribution, value)
            for name, value in one.settings.items()
        )
        if math.isfinite(loss) and inside:
            samples.append((one.settings, loss))
    return samples


def _thinned(samples: list[Sample]) -> list[Sample]:
    if len(samples) <= MOST:
        return samples
    return [samples[place] for place in np.random.default_rng(0).permutation(len(samples))[:MOST]]


def _too_few(run: Run, samples: list[Sample]) -> str | None:
    n = len(samples)
    if all(parameter.distribution.single() for parameter in run.parameters.values()):
        return "The search varied 0 parameters."
    if n < ENOUGH:
        compared = f"whole training in the space, finite {run.metric}"
        trials = f"{n} of {counted(len(run.finished), 'trial')} can be compared ({compared})"
        return f"{trials}; importances need {ENOUGH}."
    if len({loss for _, loss in samples}) == 1:
        return f"All {n} comparable trials have the same {run.metric}."
    return None


def _more_would_tell(run: Run, enough: bool) -> Status:
    """The status of a check without an answer: more trials would give one, unless there are
    ``enough``, none at all, or no parameter varies."""
    varied = any(not one.distribution.single() for one in run.parameters.values())
    return "inconclusive" if run.finished and varied and not enough else "not applicable"
