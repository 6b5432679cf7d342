"""The checks WHAT01 and WHAT02, computed from a run's raw files.

Optuna's evaluators and scikit-learn's forest are asked directly, with the seeds and the resamples
that the checks use; nothing here comes from the project's own code. Like the other checks
(``recompute_checks``), each function returns a status and the items of its sentence.
"""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator
from scipy import stats
from sklearn.ensemble import RandomForestRegressor

from tests.support.raw_run import Item, RawRun, Rough, Trial

Said = tuple[str, list[Item]]
Sample = tuple[Mapping[str, Any], float]
"""A trial's settings and its loss."""
Parts = dict[str, float]
"""By parameter, its part of 1."""
ENOUGH, MOST, RESAMPLES = 10, 100, 24
NOT_APPLICABLE, UNTOLD = "not applicable", "inconclusive"


@dataclass(frozen=True)
class Judged:
    """Parameters judged over some trials, and again over resamples of them."""

    trials: int
    parts: Parts
    again: Sequence[Parts]

    @property
    def first(self) -> str:
        return max(self.parts, key=lambda name: self.parts[name])

    def interval(self, name: str) -> tuple[float, float]:
        """The part's 95% interval over the resamples, and the part itself."""
        low, high = np.quantile([one.get(name, 0.0) for one in self.again], [0.025, 0.975])
        own = self.parts.get(name, 0.0)
        return min(float(low), own), max(float(high), own)

    def told(self, name: str) -> list[Item]:
        low, high = self.interval(name)
        return [name, self.parts[name], "(", low, "to", high, ")"]


def place(about: Mapping[str, Any], value: Any) -> float | None:
    """Where in its range, on its own scale, a number lies."""
    if isinstance(value, bool | str) or value is None:
        return None
    if "choices" in about:
        choices = about["choices"]
        if len(choices) < 2 or any(isinstance(one, bool | str | None) for one in choices):
            return None
        return sorted(choices).index(value) / (len(choices) - 1) if value in choices else None
    scale: Callable[[float], float] = math.log if about["log"] else float
    low, high = scale(about["low"]), scale(about["high"])
    return (scale(value) - low) / (high - low) if low < high else None


def is_single(about: Mapping[str, Any]) -> bool:
    """Whether a parameter has one value only."""
    return len(about["choices"]) == 1 if "choices" in about else about["low"] == about["high"]


def inside(about: Mapping[str, Any], value: Any) -> bool:
    """Whether the search could have drawn the value."""
    if "choices" in about:
        return value in about["choices"]
    steps = (value - about["low"]) / (about["step"] or 1)
    on_grid = about["step"] is None or abs(steps - round(steps)) < 1e-8
    return bool(about["low"] <= value <= about["high"] and on_grid)


def at_cost(trial: Trial, rung: float) -> float:
    """The loss at a rung: of the first report at or after it, or the last of one that converged."""
    early = trial.loss if trial.ended == "converged" else math.inf
    return next((loss for cost, loss in trial.losses if cost >= rung), early)


def comparable(run: RawRun, losses: Sequence[tuple[Trial, float]]) -> list[Sample]:
    """The trials within the space that have a finite loss; of more than 100, so many at random."""
    samples: list[Sample] = []
    for trial, loss in losses:
        own = {name: trial.config[name] for name in run.space if name in trial.config}
        if math.isfinite(loss) and all(inside(run.space[name], own[name]) for name in own):
            samples.append((own, loss))
    drawn = np.random.default_rng(0).permutation(len(samples)) if len(samples) > MOST else None
    return samples if drawn is None else [samples[at] for at in drawn[:MOST]]


def at_the_end(run: RawRun) -> list[Sample]:
    return comparable(run, [(one, one.loss) for one in run.complete])


def is_varied(run: RawRun) -> bool:
    return not all(map(is_single, run.space.values()))


def can_be_judged(run: RawRun, samples: Sequence[Sample]) -> bool:
    losses = {loss for _, loss in samples}
    return is_varied(run) and len(samples) >= ENOUGH and len(losses) > 1


def study_of(run: RawRun, samples: Sequence[Sample]) -> optuna.Study:
    """A study in which each number is its place in its range, since Optuna's fANOVA would weigh a
    logarithmic range linearly; a range of one value is left out."""
    study, trials = optuna.create_study(direction="minimize"), []
    for settings, loss in samples:
        kinds: dict[str, Any] = {}
        params: dict[str, Any] = {}
        for name, value in settings.items():
            about = run.space[name]
            if not is_single(about):
                choices = about.get("choices")
                kinds[name] = (
                    CategoricalDistribution(choices) if choices else FloatDistribution(0, 1)
                )
                params[name] = value if choices else place(about, value)
        trials.append(optuna.create_trial(params=params, distributions=kinds, value=loss))
    study.add_trials(trials)
    return study


def evaluate(run: RawRun, samples: Sequence[Sample], evaluator: Any, names: Any = None) -> Parts:
    """What an evaluator of Optuna's says, as parts of 1; nothing if no tree can be split."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = evaluator.evaluate(study_of(run, samples), params=names)
        except RuntimeError:
            return {}
        finally:
            optuna.logging.set_verbosity(before)
    total = sum(found.values())
    return {name: float(part / total if total else 1 / len(found)) for name, part in found.items()}


def peds(run: RawRun, samples: Sequence[Sample], _: int = 0) -> Parts:
    """PED-ANOVA of the best tenth, or of the best five of fewer than 50."""
    best = min(0.5, max(0.1, 5 / len(samples)))
    return evaluate(run, samples, PedAnovaImportanceEvaluator(target_quantile=best))


def fanova(
    run: RawRun, names: Sequence[str], trees: int, samples: Sequence[Sample], seed: int
) -> Parts:
    return evaluate(run, samples, FanovaImportanceEvaluator(n_trees=trees, seed=seed), [*names])


def resampled(
    samples: Sequence[Sample], judge: Callable[[list[Sample], int], Parts]
) -> list[Parts]:
    """The judgement of 24 resamples with replacement, without those that found nothing."""
    draws, n, found = np.random.default_rng(0), len(samples), []
    for seed in range(RESAMPLES):
        found.append(judge([samples[at] for at in draws.integers(n, size=n)], seed))
    return [parts for parts in found if parts]


def forest(run: RawRun, samples: Sequence[Sample]) -> tuple[float, float]:
    """How much of the variance of held-out trials a forest of 100 trees predicts, and Spearman's
    one-sided p-value of its predictions.

    Numbers are given by their places, -1 where they do not apply, and other choices by a column
    for each, of which that of None stays empty.
    """
    rows = [[code for name in run.space for code in _codes(run, name, s)] for s, _ in samples]
    losses = np.array([loss for _, loss in samples])
    model = RandomForestRegressor(n_estimators=100, oob_score=True, random_state=0)
    model.fit(np.array(rows, float), losses)
    predicted = model.oob_prediction_
    if np.ptp(predicted) == 0:
        return float(model.oob_score_), 1.0
    p = stats.spearmanr(predicted, losses, alternative="greater").pvalue
    return float(model.oob_score_), float(p)


def _codes(run: RawRun, name: str, settings: Mapping[str, Any]) -> list[float]:
    about, value = run.space[name], settings.get(name)
    numbers = all(type(one) in (int, float) for one in about.get("choices", []))
    if not numbers:
        return [float(value is not None and value == one) for one in about["choices"]]
    where = place(about, value) if name in settings else None
    return [-1.0 if where is None else where]


def what01(run: RawRun) -> Said:
    """Which parameters mattered at the end."""
    samples = at_the_end(run)
    n, of, metric = len(samples), len(run.finished), run.objective["metric"]
    if not can_be_judged(run, samples):
        more = run.finished and is_varied(run) and n < ENOUGH
        if not is_varied(run):
            return NOT_APPLICABLE, ["varied", 0]
        few: list[Item] = [n, "of", of, f"finite {metric}", ENOUGH]
        return (UNTOLD, few) if more else (NOT_APPLICABLE, few if n < ENOUGH else [n, metric])
    common = [name for name in run.space if all(name in settings for settings, _ in samples)]
    varied = [name for name in common if len({settings[name] for settings, _ in samples}) > 1]
    if len(varied) < 2:
        return NOT_APPLICABLE, [n]
    explained, p = forest(run, samples)
    if explained <= 0 or p >= 0.025:
        return UNTOLD, [n, "R²", Rough(explained), "p =", Rough(p), "no importances", 2 * n]
    parts = fanova(run, varied, 32, samples, 0)
    if not parts:
        return NOT_APPLICABLE, [n]
    found = Judged(n, parts, resampled(samples, partial(fanova, run, varied, 4)))
    by_peds = Judged(n, peds(run, samples), [])
    items: list[Item] = [n, "of", of, "completed the training:"]
    largest = sorted(varied, key=lambda name: -parts[name])[:4]
    items += [item for name in largest for item in found.told(name)]
    items += [f"PED-ANOVA puts {by_peds.first} first", by_peds.parts[by_peds.first]]
    items += ["not judged", len(run.space) - len(varied)] if len(varied) < len(run.space) else []
    items += ["predicts", explained]
    hardly = [name for name in varied if found.interval(name)[1] < 0.05]
    words = f"hardly mattered: {', '.join(hardly)}."
    named = hardly and run.winner is not None
    return ("tip", [*items, words]) if named else ("passed", items)


def samples_at_budgets(run: RawRun) -> list[tuple[list[Item], list[Sample]]]:
    """The trials that can be compared at each rung, and at the end."""
    unit = run.search.get("time_attr", "step")
    budgets: list[tuple[list[Item], list[Sample]]] = [
        ([unit, rung], comparable(run, [(one, at_cost(one, rung)) for one in run.finished]))
        for rung in run.search.get("rungs", [])
    ]
    return [*budgets, (["the end"], at_the_end(run))]


def judge(run: RawRun, samples: Sequence[Sample]) -> Judged:
    """PED-ANOVA over some trials, and over resamples of them."""
    return Judged(len(samples), peds(run, samples), resampled(samples, partial(peds, run)))


def judged_at_budgets(run: RawRun) -> list[tuple[str, Judged]]:
    """The name of each budget at which enough trials compare, and what is found there."""
    return [
        (" ".join(f"{one:,}" if isinstance(one, int) else str(one) for one in label), found)
        for label, samples in samples_at_budgets(run)
        if can_be_judged(run, samples)
        for found in [judge(run, samples)]
    ]


def what02(run: RawRun) -> Said:
    """Whether other parameters mattered at the rungs than at the end."""
    items, found = list[Item](), list[Judged]()
    for label, samples in samples_at_budgets(run):
        items += [*label, len(samples)]
        if not can_be_judged(run, samples):
            items.append("comparable trial")
            continue
        found.append(judge(run, samples))
        items += ["trials:", *found[-1].told(found[-1].first)]
    if len(found) < 2:
        open_ = run.finished and is_varied(run) and run.search.get("rungs")
        status = UNTOLD if open_ else NOT_APPLICABLE
        return status, [ENOUGH, "comparable trials", len(found), ":", *items]
    if len({one.first for one in found}) == 1:
        return "passed", items
    surely = {one.first for one in found if _leads(one) >= 0.95}
    return ("tip", items) if len(surely) > 1 else (UNTOLD, [*items, "none leads in", 0.95])


def _leads(judged: Judged) -> float:
    """In which fraction of the resamples the parameter that is first is so there too."""
    again = [max(parts, key=lambda name: parts[name]) for parts in judged.again]
    return again.count(judged.first) / len(again)


WHAT = {"WHAT01": what01, "WHAT02": what02}
