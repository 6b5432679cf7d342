"""What a search says before its first trial and after its last: the plan, and a verdict instead of a table."""

import math
import os
from collections import Counter
from statistics import mean

from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from tuning.cluster import Cluster
from tuning.confirmation import Candidate, winner
from tuning.experiment import Experiment
from tuning.options import SearchOptions
from tuning.progress import settings_words
from tuning.run_directory import RunDirectory

EDGE = 0.05
"""Share of a (log) range, at either end, that counts as its edge."""


def plan(options: SearchOptions, experiment: Experiment, cluster: Cluster, run: RunDirectory, ended: Counter[str]) -> str:
    """What will be done, in a few lines: trials, sampler, scheduler, room, space, where it goes, the dashboard."""
    scheduler = {"asha": "ASHA", "hyperband": "asynchronous HyperBand", "none": "no early stopping"}[options.scheduler]
    if options.scheduler != "none":
        rungs = experiment.rungs.steps(experiment.settings["max_steps"])
        at = ", ".join(f"{step:,}" for step in rungs)
        scheduler += f" at steps {at}" if rungs else " (no rung below the budget)"
    going_on = f" · {sum(ended.values())} finished before" if ended else ""
    lines = [
        f"{options.num_samples} trials{going_on} · {options.sampler.upper()} (seed {options.seed}) + {scheduler}"
        f" · {cluster.slots} at once on {cluster.description}",
        "varied     " + " · ".join(_range(name, p.distribution) for name, p in experiment.space.parameters.items()),
        "fixed      " + settings_words({**experiment.settings, **experiment.space.fixed}),
        f"confirmed  on {options.confirm} fresh seeds" if options.confirm else "confirmed  not (--confirm 0)",
        f"run        {os.path.relpath(run.path)}",
    ]
    if cluster.dashboard:
        lines.append(f"dashboard  {cluster.dashboard} (its token: ray get-auth-token)")
    if cluster.notice:
        lines.append(f"note       {cluster.notice}")
    return "\n".join(lines)


def verdict(options: SearchOptions, experiment: Experiment, run: RunDirectory, tried: list[Candidate]) -> str:
    """The answer: the winner, its figure in the search and on fresh seeds, what hand-tuning gave, edges, what to do next."""
    counts = Counter(record.ended or "running" for _, record in run.trials())
    lines = [f"{sum(counts.values())} trials: " + ", ".join(f"{n} {ended}" for ended, n in counts.most_common())]
    goal = experiment.goal
    for candidate in tried:
        holds = candidate.holds(goal, options.confirm)
        label = "best" if holds or not options.confirm else "tried"
        lines.append(f"{label:<10} trial {candidate.number}{_known(candidate)}: {_settings(candidate, experiment)}")
        lines.append(f"selected   {_selected(candidate, experiment)}")
        if options.confirm:
            lines.append(f"confirmed  {_confirmed(candidate, experiment, options.confirm)}")
    if options.confirm and tried and not any(c.holds(goal, options.confirm) for c in tried):
        lines.append(f"caution    none of these settings reaches {goal.metric} {goal.at_least:g} on every fresh seed")
    if tried:
        best = winner(tried, goal, options.confirm)
        lines += _by_hand(run, experiment)
        if goal.reached(best.last_row):
            lines += [f"edge       {sentence}" for sentence in edges(best.config, experiment)]
    else:
        lines.append("best       none: no trial reported anything that can be compared")
    where = os.path.relpath(run.path)
    lines += [f"run        {where}", f"next       python reports/build.py {where}"]
    return "\n".join(lines)


def edges(settings: dict[str, float], experiment: Experiment) -> list[str]:
    """A sentence for every varied number that lies in the outer twentieth of its range, on the range's own scale."""
    sentences = []
    for name, parameter in experiment.space.parameters.items():
        distribution = parameter.distribution
        if not isinstance(distribution, FloatDistribution | IntDistribution):
            continue
        low, high, value = (
            math.log(x) if distribution.log else x for x in (distribution.low, distribution.high, settings[name])
        )
        place = (value - low) / (high - low)
        if place < EDGE or place > 1 - EDGE:
            end = "lower" if place < EDGE else "upper"
            sentences.append(f"{name} lies at the {end} end of its range: the best may be beyond it")
    return sentences


def _range(name: str, distribution: BaseDistribution) -> str:
    if isinstance(distribution, FloatDistribution | IntDistribution):
        return f"{name} {distribution.low:g} to {distribution.high:g}{' (log)' if distribution.log else ''}"
    return f"{name} in {getattr(distribution, 'choices', distribution)}"


def _known(candidate: Candidate) -> str:
    return f" ({candidate.config['known']})" if "known" in candidate.config else ""


def _settings(candidate: Candidate, experiment: Experiment) -> str:
    return settings_words({name: candidate.config[name] for name in experiment.space.parameters})


def _selected(candidate: Candidate, experiment: Experiment) -> str:
    row = candidate.last_row
    figures = " · ".join(f"{name} {row[name]:.4f}" for name in experiment.shown if row.get(name) is not None)
    how = "not converged" if candidate.ended == "budget" else candidate.ended
    return f"{how} at step {row['step']:,} · {figures} (the search's own seed)"


def _confirmed(candidate: Candidate, experiment: Experiment, count: int) -> str:
    goal, rows = experiment.goal, list(candidate.confirmations.values())
    reached = sum(goal.reached(row) for row in rows)
    figures = [row[goal.metric] for row in rows if row.get(goal.metric) is not None]
    words = f"{reached} of {count} fresh seeds reach {goal.metric} {goal.at_least:g}"
    if figures:
        words += f" · lowest {min(figures):.4f}, mean {mean(figures):.4f}"
    steps = [row["steps_to_converge"] for row in rows if row.get("steps_to_converge")]
    if steps:
        words += f" · converged at step {min(steps):,} to {max(steps):,}"
    return words


def _by_hand(run: RunDirectory, experiment: Experiment) -> list[str]:
    """What the settings known beforehand came to in this search."""
    lines = []
    for directory, record in run.trials():
        rows = directory.rows()
        known = record.config.get("known")
        if known and rows:
            figure = experiment.shown[0]
            settings = settings_words({name: record.config[name] for name in experiment.space.parameters})
            lines.append(
                f"{'known':<10} {known}: {settings} · {figure} {rows[-1][figure]:.4f} at step {rows[-1]['step']:,}"
                f" ({record.ended})"
            )
    return lines
