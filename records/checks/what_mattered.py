"""WHAT: which parameters mattered, at the end and at each rung?"""

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from records.checks.check import Check, Interval, amount, between, counted, percent
from records.finished_trial import FinishedTrial
from records.outcome import CONVERGED
from records.run import Run
from records.surrogate import Surrogate
from search_spaces.unit_scale import place

ENOUGH = 10
"""Comparable trials below which importances are noise."""
MOST = 100
"""Trials that importances are computed from at most, drawn at random: fANOVA over 1,000 takes half a minute."""
HARDLY = 0.05
"""A parameter whose interval ends below this share hardly mattered."""
NAMED = 4
"""Parameters named in a sentence."""
RESAMPLES = 24
TREES = 32
"""Of a forest; one over a resample has an eighth of them: there are many."""
TOP_TRIALS = 5
"""PED-ANOVA asks what sets the best tenth of the trials apart, but at least this many, as Optuna advises."""

Sample = tuple[dict[str, Any], float]
"""A trial's settings and its loss."""
Shares = dict[str, float]

at_the_end = partial(
    Check,
    "WHAT01",
    detected="fANOVA (Hutter et al. 2014), Optuna's, each range on its own scale: how much of what a forest of trees says of"
    " the objective a parameter explains alone, the parameters' shares adding up to 100%; the interval from 24 resamples of the"
    " trials. PED-ANOVA (Watanabe et al. 2023) asks what sets the best tenth of the trials apart. Only trials that used"
    " their budget or converged: those stopped early, the poorer ones, are missing.",
    matters="What hardly matters can be fixed, and the trials then go where something is to be found.",
)
at_rungs = partial(
    Check,
    "WHAT02",
    detected="PED-ANOVA over all trials that reached a rung, by their objective there, with an interval from 24 resamples of"
    " the trials. At the first rung hardly any is missing; at later ones only those that were let go on are left.",
    matters="Early stopping judges by the first rungs: where other parameters decide there than at the end, it may stop the"
    " wrong trials.",
)


def importances(run: Run) -> Check:
    """WHAT01."""
    samples = _thinned(_samples(run, run.complete))
    if (missing := _too_few(run, samples)) is not None:
        return at_the_end(status="not applicable", sentence=missing)
    common = [name for name in run.parameters if all(name in settings for settings, _ in samples)]
    varied = [name for name in common if len({settings[name] for settings, _ in samples}) > 1]
    if len(varied) < 2:
        sentence = f"Fewer than two parameters vary in all {len(samples)} comparable trials."
        return at_the_end(status="not applicable", sentence=sentence)
    explained = Surrogate(run.parameters, samples).explained
    if explained <= 0:
        sentence = (
            f"A forest over {len(samples)} comparable trials foresees those it has not seen no better than their mean does"
            f" (R² {explained:.2f}): too few, or too noisy, to say what mattered."
        )
        return at_the_end(status="not applicable", sentence=sentence)
    shares = _fanova(run, samples, varied, TREES)
    if not shares:
        return at_the_end(
            status="not applicable",
            sentence=f"A forest over {len(samples)} comparable trials tells none apart.",
        )
    intervals = _resampled(
        samples, lambda drawn, seed: _fanova(run, drawn, varied, TREES // 8, seed)
    )
    peds = _ped_anova(run, samples)
    first = max(peds, key=lambda name: peds[name])
    told = "; ".join(
        f"{name} {percent(share)} ({between(intervals[name])})"
        for name, share in sorted(shares.items(), key=lambda one: -one[1])[:NAMED]
    )
    sentence = (
        f"fANOVA over {len(samples)} of {counted(len(run.finished), 'trial')}, those that used their budget: {told}; PED-ANOVA"
        f" puts {first} first ({percent(peds[first])}). The forest foresees {percent(explained)} of the variance of trials it"
        " has not seen."
    )
    if beside := len(run.parameters) - len(varied):
        sentence += (
            f" Not judged, as not all these trials vary them: {counted(beside, 'parameter')}."
        )
    hardly = [name for name in varied if intervals[name].high < HARDLY]
    if hardly and run.winner is not None:
        changes = [
            _fixed(name, run.winner.settings[name])
            for name in hardly
            if name in run.winner.settings
        ]
        sentence += f" Hardly mattered: {', '.join(hardly)}."
        return at_the_end(status="tip", sentence=sentence, do=run.commands.again(*changes))
    return at_the_end(status="passed", sentence=sentence)


def importances_at_rungs(run: Run) -> Check:
    """WHAT02."""
    words, leaders = [], []
    for label, samples in _by_budget(run):
        if _too_few(run, samples) is not None:
            words.append(f"{label}: {counted(len(samples), 'comparable trial')}, too few")
            continue
        shares = _ped_anova(run, samples)
        intervals = _resampled(samples, lambda drawn, seed: _ped_anova(run, drawn))
        leader = max(shares, key=lambda name: shares[name])
        leaders.append(leader)
        words.append(
            f"{label}, {len(samples)} trials: {leader} {percent(shares[leader])} ({between(intervals[leader])})"
        )
    if len(leaders) < 2 or len(words) < 2:
        sentence = f"It takes {ENOUGH} comparable trials at two budgets; there are {len(leaders)} such: {'; '.join(words)}."
        return at_rungs(status="not applicable", sentence=sentence)
    sentence = f"What decides most, by PED-ANOVA: {'; '.join(words)}."
    return at_rungs(status="passed" if len({*leaders}) == 1 else "tip", sentence=sentence)


def shares_by_budget(run: Run) -> dict[str, Shares]:
    """PED-ANOVA's share of each parameter at every rung and at the end, where enough trials compare; by the budget's name."""
    return {
        f"{label}, {len(samples)} trials": _ped_anova(run, samples)
        for label, samples in _by_budget(run)
        if _too_few(run, samples) is None
    }


def _by_budget(run: Run) -> Iterator[tuple[str, list[Sample]]]:
    """The comparable trials at every rung and at the end."""
    for rung in run.search.get("rungs", []):
        yield f"{run.time_attr} {rung:,}", _thinned(_samples(run, run.finished, rung))
    yield "the end", _thinned(_samples(run, run.complete))


def _samples(run: Run, trials: list[FinishedTrial], rung: float = math.inf) -> list[Sample]:
    """Settings and loss at ``rung`` of the trials that came so far, or that converged before it."""
    samples = []
    for one in trials:
        cost, losses = one.curve.T
        losses = losses[cost <= rung]
        arrived = (
            one.ended == CONVERGED.name
            or rung == math.inf
            or one.last.get(run.time_attr, 0) >= rung
        )
        loss = float(losses[-1]) if len(losses) and arrived else math.inf
        if math.isfinite(loss) and all(
            _inside(run, name, value) for name, value in one.settings.items()
        ):
            samples.append((one.settings, loss))
    return samples


def _inside(run: Run, name: str, value: Any) -> bool:
    """Whether a value is in the range: known settings may lie outside it."""
    distribution = run.parameters[name].distribution
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    position = place(value, distribution)
    return position is not None and 0 <= position <= 1


def _thinned(samples: list[Sample]) -> list[Sample]:
    if len(samples) <= MOST:
        return samples
    return [samples[place] for place in np.random.default_rng(0).permutation(len(samples))[:MOST]]


def _too_few(run: Run, samples: list[Sample]) -> str | None:
    if len(samples) < ENOUGH:
        return f"{len(samples)} comparable trials used their budget, of {len(run.finished)}; importances take {ENOUGH}."
    if len({loss for _, loss in samples}) == 1:
        return f"All {len(samples)} comparable trials came to the same {run.metric}."
    return None


def _fanova(run: Run, samples: list[Sample], names: list[str], trees: int, seed: int = 0) -> Shares:
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    evaluator = FanovaImportanceEvaluator(n_trees=trees, seed=seed)
    with _study(run, samples) as study:
        try:
            found = get_param_importances(study, evaluator=evaluator, params=names)
        except RuntimeError:  # no tree found anything to split on
            return {}
    return {name: float(found[name]) for name in names}


def _ped_anova(run: Run, samples: list[Sample]) -> Shares:
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    quantile = min(0.5, max(0.1, TOP_TRIALS / len(samples)))
    with _study(run, samples) as study:
        found = get_param_importances(
            study, evaluator=PedAnovaImportanceEvaluator(target_quantile=quantile)
        )
    return {name: float(share) for name, share in found.items()}


@contextmanager
def _study(run: Run, samples: list[Sample]) -> Iterator[Any]:
    """An Optuna study of the samples, numbers by their place in their range: fANOVA would weigh a log range linearly."""
    import optuna

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            study = optuna.create_study(direction="minimize")
            for settings, loss in samples:
                kinds: dict[str, BaseDistribution] = {}
                values: dict[str, Any] = {}
                for name, value in settings.items():
                    distribution = run.parameters[name].distribution
                    categorical = isinstance(distribution, CategoricalDistribution)
                    kinds[name] = distribution if categorical else FloatDistribution(0, 1)
                    values[name] = value if categorical else place(value, distribution)
                study.add_trial(optuna.create_trial(params=values, distributions=kinds, value=loss))
            yield study
    finally:
        optuna.logging.set_verbosity(verbosity)


def _resampled(
    samples: list[Sample], importance: Callable[[list[Sample], int], Shares]
) -> dict[str, Interval]:
    """For each parameter the 95% interval of its share over resamples of the trials, drawn with replacement."""
    draws = np.random.default_rng(0)
    found: list[Shares] = []
    for seed in range(RESAMPLES):
        drawn = [samples[place] for place in draws.integers(len(samples), size=len(samples))]
        found += [shares] if (shares := importance(drawn, seed)) else []
    names = {name for shares in found for name in shares}
    ends = {
        name: np.quantile([shares.get(name, 0.0) for shares in found], [0.025, 0.975])
        for name in names
    }
    return {name: Interval(float(low), float(high)) for name, (low, high) in ends.items()}


def _fixed(name: str, value: Any) -> str:
    return f"{name}={amount(value) if isinstance(value, float) else value}"
