"""What a search says before its first trial and after its last: the plan, and a verdict instead of a table."""

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from command_line import from_here
from records.checks import run_checks
from records.run import Run
from records.run_directory import RunDirectory
from tuning.confirmation import Candidate, unbeaten, winner
from tuning.engine.cluster import Cluster
from tuning.final import final_training
from tuning.options import SearchOptions
from tuning.task import Task
from tuning.words import metric_words, settings_words

REPORT = Path(__file__).parent.parent / "reports" / "build.py"


def plan(
    options: SearchOptions,
    task: Task,
    cluster: Cluster,
    run: RunDirectory,
    ended: Counter[str],
    notes: Sequence[str | None] = (),
) -> str:
    """What will be done, in a few lines: trials, sampler, scheduler, room, space, where it goes, the dashboard."""
    scheduler = {
        "asha": "ASHA",
        "hyperband": "asynchronous HyperBand",
        "pbt": f"population based training every {task.rungs.grace_steps:,} steps",
        "none": "no early stopping",
    }[options.scheduler]
    if options.scheduler in ("asha", "hyperband"):
        rungs = task.rungs.steps(task.budget)
        at = ", ".join(f"{step:,}" for step in rungs)
        by = f" by {task.objective.metric}" if len(task.objectives) > 1 else ""
        unit = "steps" if task.time_attr == "step" else task.time_attr
        scheduler += f"{by} at {unit} {at}" if rungs else " (no rung below the budget)"
    going_on = f" · {sum(ended.values())} finished before" if ended else ""
    lines = [
        f"{options.num_samples} trials{going_on} · {options.sampler.upper()} (seed {options.seed}) + {scheduler}"
        f" · {cluster.slots} at once on {cluster.description}",
        "varied     "
        + " · ".join(f"{name} {p.words}" for name, p in task.space.parameters.items()),
        "fixed      " + settings_words({**task.settings, **task.space.fixed}),
        f"confirmed  on {options.confirm} fresh seeds"
        if options.confirm
        else "confirmed  not (--confirm 0)",
        f"run        {from_here(run.path)}",
    ]
    if cluster.dashboard:
        lines.append(f"dashboard  {cluster.dashboard} (its token: ray get-auth-token)")
    excluded = " · ".join(task.space.left_out)
    not_tried = f"not tried, as --set excludes them: {excluded}" if excluded else None
    notes = (cluster.notice, not_tried, *notes, _at_random(options, task))
    lines += [f"note       {note}" for note in notes if note]
    return "\n".join(lines)


def _at_random(options: SearchOptions, task: Task) -> str | None:
    """Which parameters the sampler does not model: CMA-ES no choices, neither it nor the GP what applies now and then."""
    names = [
        name
        for name, parameter in task.space.parameters.items()
        if parameter.only_if
        or (options.sampler == "cmaes" and hasattr(parameter.distribution, "choices"))
    ]
    if options.sampler not in ("gp", "cmaes") or not names:
        return None
    return f"{options.sampler} does not model {', '.join(names)}: drawn at random"


def verdict(options: SearchOptions, task: Task, run: RunDirectory, tried: list[Candidate]) -> str:
    """The answer: the winner, its figure in the search and on fresh seeds, what hand-tuning gave, remarks, what to do next."""
    counts = Counter(record.ended or "running" for _, record in run.trials())
    lines = [
        f"{sum(counts.values())} trials: "
        + ", ".join(f"{n} {ended}" for ended, n in counts.most_common())
    ]
    goal = task.goal
    for candidate in tried:
        holds = candidate.holds(goal, options.confirm)
        label = "best" if holds or not options.confirm else "tried"
        lines.append(
            f"{label:<10} trial {candidate.number}{_known(candidate)}: {_settings(candidate, task)}"
        )
        lines += _schedule(candidate)
        lines.append(f"selected   {_selected(candidate, task)}")
        if options.confirm:
            lines.append(f"confirmed  {_confirmed(candidate, task, options.confirm)}")
    if options.confirm and tried and not any(c.holds(goal, options.confirm) for c in tried):
        lines.append(f"caution    none of these settings reaches {goal} on every fresh seed")
    if tried:
        best = winner(tried, goal, options.confirm)
        lines += _final(best, run, task)
        lines += _weights(run)
        lines += _front(run, task)
        lines += _hand_tuned(run, task)
    else:
        lines.append("best       none: no trial reported anything that can be compared")
    lines += remarks(run)
    where = from_here(run.path)
    lines += [
        f"run        {where}",
        f"next       {shlex.join(['python', from_here(REPORT), where])}",
    ]
    return "\n".join(lines)


def remarks(run: RunDirectory) -> list[str]:
    """The run's checks that found an issue or have a tip, a line each, with the command where there is one."""
    found = [check for check in run_checks(Run(run.path)) if check.status in ("issue", "tip")]
    return [
        f"{check.code:<10} {check.sentence}" + (f" Try: {check.do}" if check.do else "")
        for check in found
    ]


def _known(candidate: Candidate) -> str:
    return f" ({candidate.config['baseline']})" if "baseline" in candidate.config else ""


def _settings(candidate: Candidate, task: Task) -> str:
    return settings_words(task.space.varied(candidate.config))


def _schedule(candidate: Candidate) -> list[str]:
    """The changes of the settings on the way, which are trained again in the confirmation as well."""
    changes = candidate.config.get("schedule", [])
    way = " > ".join(map(str, candidate.lineage))
    return [
        f"schedule   at step {step:,}: {settings_words(changed)}" for step, changed in changes
    ] + [
        f"lineage    weights of trials {way}; a confirmation trains the whole schedule anew"
        for _ in changes[:1]
    ]


def _selected(candidate: Candidate, task: Task) -> str:
    row = candidate.last_row
    how = "budget used" if candidate.ended == "budget" else candidate.ended
    return f"{how} at step {row['step']:,} · {_figures(row, task)} (the search's own seed)"


def _figures(row: Mapping[str, Any], task: Task) -> str:
    return " · ".join(
        f"{name} {metric_words(row[name])}"
        for name in task.console_metrics
        if row.get(name) is not None
    )


def _confirmed(candidate: Candidate, task: Task, count: int) -> str:
    goal, rows = task.goal, list(candidate.confirmations.values())
    reached = sum(goal.reached(row) for row in rows)
    figures = [row[goal.metric] for row in rows if row.get(goal.metric) is not None]
    words = f"{reached} of {count} fresh seeds reach {goal}"
    if figures:
        worst = (
            f"lowest {metric_words(min(figures))}"
            if goal.at == "least"
            else f"highest {metric_words(max(figures))}"
        )
        words += f" · {worst}, mean {metric_words(mean(figures))}"
    steps = [row["steps_to_converge"] for row in rows if row.get("steps_to_converge")]
    if steps:
        words += f" · converged at step {min(steps):,} to {max(steps):,}"
    return words


def _final(best: Candidate, run: RunDirectory, task: Task) -> list[str]:
    """What the final training came to, where there was one."""
    final = final_training(best, run)
    if final is None:
        record = run.final().trial(best.number).read()
        return [f"final      not used: {record.ended}"] if record and record.ended else []
    row = final.rows()[-1]
    return [f"final      trained on to step {row['step']:,} · {_figures(row, task)}"]


def _weights(run: RunDirectory) -> list[str]:
    best = run.path / "best"
    if (best / "model.safetensors").exists() or not (best / "config.json").exists():
        return []
    return ["caution    best/ has no weights: those of the winner's last step were not saved"]


def _front(run: RunDirectory, task: Task) -> list[str]:
    """With several objectives: the trials of which no other is better in all of them."""
    if len(task.objectives) < 2:
        return []
    return [
        f"front      trial {number}: "
        + " · ".join(f"{one.metric} {metric_words(row[one.metric])}" for one in task.objectives)
        for number, row in unbeaten(run, task)
    ]


def _hand_tuned(run: RunDirectory, task: Task) -> list[str]:
    """What the settings known beforehand came to in this search."""
    lines = []
    for directory, record in run.trials():
        rows = directory.rows()
        known = record.config.get("baseline")
        if known and rows:
            settings = settings_words(task.space.varied(record.config))
            first = task.console_metrics[0]
            came_to = f"{first} {metric_words(rows[-1][first])}" if first in rows[-1] else "nothing"
            lines.append(
                f"{'baseline':<10} {known}: {settings} · {came_to} at step {rows[-1]['step']:,} ({record.ended})"
            )
    return lines
