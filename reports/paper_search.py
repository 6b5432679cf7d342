"""What was searched and how, for a paper's paragraph on the methods: a sentence or two a function.

A sentence is empty if the run does not have what it tells. What an older run did not record is told
without its number.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution

from records.checks.check import counted
from records.outcome import outcome_of
from records.run import Run
from records.trial_directory import TrialRecord
from reports.experiments.default import Page

SAMPLERS = {
    "tpe": "the tree-structured Parzen estimator (TPE)",
    "gp": "a Gaussian process",
    "cmaes": "CMA-ES",
    "qmc": "a quasi-random sequence (Sobol)",
    "random": "random search",
}
RUNGS = {
    "asha": "asynchronous successive halving (ASHA)",
    "hyperband": "asynchronous HyperBand",
}


def one_training(run: Run, page: Page) -> str:
    """What was trained without a search."""
    values = [distribution_words(one.distribution) for one in run.parameters.values()]
    own = ", ".join(f"{name} {value}" for name, value in zip(run.varied, values, strict=True))
    return f"One configuration ({page.title(run)}) was trained, without a search: {own}."


def space(run: Run, page: Page) -> str:
    """Every parameter with its range and scale."""
    words = []
    for name, parameter in run.parameters.items():
        word = f"{name} {distribution_words(parameter.distribution)}"
        if parameter.only_if:
            word += f", if {parameter.only_if[0]} is {parameter.only_if[1]}"
        words.append(word)
    if not words:
        return ""
    what = f"The hyperparameter search ({page.title(run)})"
    return f"{what} varied {counted(len(words), 'parameter')}: {'; '.join(words)}."


def distribution_words(distribution: BaseDistribution) -> str:
    """A range with its scale, or the choices."""
    if isinstance(distribution, CategoricalDistribution):
        choices = [exact(one) for one in distribution.choices]
        return f"in {{{', '.join(choices)}}}" if len(choices) > 1 else f"= {choices[0]}"
    one: Any = distribution
    if one.single():
        return f"= {exact(one.low)}"
    steps = f" in steps of {exact(one.step)}" if one.step not in (None, 1) else ""
    whole = "whole numbers, " * isinstance(one.low, int)
    scale = "logarithmic" if one.log else "linear"
    return f"from {exact(one.low)} to {exact(one.high)}{steps} ({whole}{scale} scale)"


def exact(value: Any) -> str:
    """A value of a space with all its digits."""
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def objective(run: Run, page: Page) -> str:
    """What was optimized."""
    titles = [
        f"{'minimized' if one.mode == 'min' else 'maximized'} {page.axis(run, one.metric).title}"
        for one in run.objectives
    ]
    first = ", the first of which ranks the trials" if len(titles) > 1 else ""
    return f"It {listed(titles)}{first}." if titles else ""


def sampler(run: Run, records: list[TrialRecord]) -> str:
    """The sampler, the seed and the number of trials."""
    name = str(run.options.get("sampler", ""))
    seed = f", with seed {run.options['seed']}" if "seed" in run.options else ""
    asked = run.options.get("num_samples", len(records))
    words = f"Its sampler was {SAMPLERS.get(name, name)} of Optuna{seed}. " if name else ""
    if asked > len(records):
        return f"{words}It ran {len(records):,} of the {asked:,} trials that were asked for."
    return f"{words}It ran {counted(len(records), 'trial')}."


def starts(run: Run, records: list[TrialRecord]) -> str:
    """From where the trials had their settings."""
    about, name = run.search.get("methods", {}), str(run.options.get("sampler", ""))
    warm = len(run.search.get("warm_start", []))
    earlier = sum(one.number < warm for one in records)
    baselines = [f"“{one.config['baseline']}”" for one in records if "baseline" in one.config]
    others = [one for one in records if "baseline" not in one.config and one.number >= warm]
    parts = [
        (earlier, "the best settings of earlier runs"),
        (len(baselines), f"known settings ({', '.join(baselines)})"),
    ]
    if name == "random":
        parts.append((len(others), "settings drawn at random"))
    elif "start_up_trials" in about or name == "qmc":
        first = math.inf if name == "qmc" else about["start_up_trials"]
        designed = sum(one.number < first for one in others)
        parts.append((designed, "quasi-random settings (a Sobol sequence)"))
        parts.append((len(others) - designed, "settings that the sampler chose"))
    else:
        parts.append((len(others), "quasi-random settings or settings that the sampler chose"))
    words = listed(f"{count:,} with {what}" for count, what in parts if count)
    none = "" if baselines else " No known settings were tried as baselines."
    return (f"Of them, {words.replace(' with', ' began with', 1)}." if words else "") + none


def several_seeds(run: Run) -> str:
    """How many seeds a trial has, if several."""
    count = run.options.get("seeds_per_trial", 1)
    if count < 2:
        return ""
    over = run.search.get("methods", {}).get("over_seeds")
    which = {"worst": ", of which the worst one counts", "mean": ", of which the mean counts"}
    return f"Each trial trained its settings on {count} seeds{which.get(over, '')}."


def budget(run: Run) -> str:
    """The most training steps of a trial."""
    steps = run.fixed.get("max_steps")
    if steps is None or run.time_attr != "step":
        return ""
    return f"A training had at most {steps:,} steps."


def early_stopping(run: Run, page: Page) -> str:
    """The scheduler and its rungs."""
    name, rungs = str(run.options.get("scheduler", "")), run.search.get("rungs", [])
    about, unit = run.search.get("methods", {}), page.axis(run, run.time_attr).title
    if name == "none":
        return "No trial was stopped early for being worse than others."
    if name == "pbt":
        every = f" every {rungs[0]:,} steps" if rungs else ""
        return (
            f"In population based training, weak trials took over the weights of strong ones{every}"
            " and changed their settings; the table has the settings at the end of the training."
        )
    if name not in RUNGS:
        return ""
    if not rungs:
        return f"The budget ended before the first rung of {RUNGS[name]}."
    best, at = about.get("reduction_factor"), listed(f"{one:,}" for one in rungs)
    weak = f"the trials that were not among the best 1/{best:g} there" if best else "weak trials"
    own = ", each at the rungs of its bracket" if name == "hyperband" else ""
    spared = ", but no baselines" if about.get("protects_baselines") else ""
    audit = run.options.get("audit") or 0
    let = f" Of those to be stopped, a random {100 * audit:g}% ran to the end." if audit else ""
    return f"At {at} {unit}, {RUNGS[name]} stopped {weak}{own}{spared}.{let}"


def outcomes(records: Iterable[TrialRecord]) -> str:
    """How many trials ended in which way."""
    counts = Counter(outcome_of(one.ended).words if one.ended else "" for one in records)
    open_ = counts.pop("", 0)
    ways = [f"{count:,} {words}" for words, count in counts.most_common()]
    ended = f"The trials ended as follows: {', '.join(ways)}." if ways else ""
    left = f"{counted(open_, 'trial')} had not ended." if open_ else ""
    return " ".join(filter(None, (ended, left)))


def end(run: Run) -> str:
    """How the search ended, unless it did all that was asked for."""
    last = last_session(run)
    how = last.get("how", "unknown")
    if how == "finished":
        return ""
    if how == "time budget":
        return f"The run ended with its time budget of {run.options.get('time_budget')}."
    if how == "target reached":
        return "The search ended when a trial reached the target on all fresh seeds."
    words = how if last.get("ended") else "without a recorded end"
    return f"The last session of the run was {words}, so the results may not be complete."


def software(run: Run) -> str:
    """The versions and the commit."""
    names = {"python": "Python", "torch": "PyTorch", "ray": "Ray", "optuna": "Optuna"}
    versions = run.search.get("versions", {}).items()
    found = [f"{names.get(name, name)} {version}" for name, version in versions]
    words = f"The software was {listed(found)}." if found else ""
    commit = str(run.search.get("commit") or "")
    dirty = " with uncommitted changes" if commit.endswith("-dirty") else ""
    of = f" The search's own code was at commit {commit.removesuffix('-dirty')}{dirty}."
    return words + of * bool(commit)


def last_session(run: Run) -> Mapping[str, Any]:
    """The last session's entry in ``search.json``."""
    found: Mapping[str, Any] = (run.search.get("sessions") or [{}])[-1]
    return found


def listed(words: Iterable[str]) -> str:
    """One, two and three."""
    *most, last = ["", *words]
    return f"{', '.join(most[1:])} and {last}" if most[1:] else last
