"""The plan, printed before the first trial, and the verdict, printed at the end of a search."""

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any

from records.checks import run_checks
from records.checks.check import counted
from records.objective import Goal
from records.outcome import outcome_of
from records.places import from_here, shown
from records.run import Run
from records.run_directory import RunDirectory
from records.versus_baseline import versus_baseline
from search_spaces import ends
from tuning.engine.cluster import Cluster
from tuning.final import final_training
from tuning.finalists import Finalist, unbeaten
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
    """A few lines before the first trial: sampler, scheduler, space, confirmation and paths."""
    before = f" · {ended.total()} finished before" if ended else ""
    space, fixed = task.space, {**task.settings, **task.space.fixed}
    ranges = [f"{name} {parameter.words}" for name, parameter in space.parameters.items()]
    field = "these settings" if options.train else counted(options.finalists, "best trial")
    baseline = " and the best baseline" if space.baselines else ""
    again = f"{field}{baseline}, trained again on {counted(options.confirm, 'fresh seed')}"
    if options.train:
        fixed = {**fixed, **{name: ends(one)[0] for name, one in space.distributions.items()}}
        first = [f"1 training{before} · seed {options.seed} · on {cluster.description}"]
    else:
        trials = f"{counted(options.num_samples, 'trial')}{_of_seeds(options, task)}"
        first = [
            f"{trials}{before} · {options.sampler.upper()}"
            f" (seed {options.seed}) + {_scheduler(options, task)} · {cluster.slots} at once on"
            f" {cluster.description}",
            f"varied     {' · '.join(ranges)}",
        ]
    lines = [
        *first,
        f"fixed      {settings_words(fixed)}",
        f"confirmed  {again if options.confirm else 'nothing, since --confirm is 0'}",
        f"run        {shown(run.path)}",
    ]
    if cluster.dashboard:
        lines.append(f"dashboard  {cluster.dashboard} (its token: ray get-auth-token)")
    if space.left_out:
        names = " · ".join(space.left_out)
        notes = [f"baselines not tried, since --set or --space-file excludes them: {names}", *notes]
    notes = [*cluster.notes, *notes, _drawn_at_random(options, task)]
    lines += [f"note       {note}" for note in notes if note]
    return "\n".join(lines)


def _of_seeds(options: SearchOptions, task: Task) -> str:
    several = f" of {options.seeds_per_trial} seeds, of which the {task.over_seeds} counts"
    return several if options.seeds_per_trial > 1 else ""


def _scheduler(options: SearchOptions, task: Task) -> str:
    name = {
        "asha": "ASHA",
        "hyperband": "asynchronous HyperBand",
        "pbt": f"population based training every {task.rungs.grace_steps:,} steps",
        "none": "no early stopping",
    }[options.scheduler]
    if options.scheduler not in ("asha", "hyperband"):
        return name
    rungs = ", ".join(f"{step:,}" for step in task.rungs.steps(task.budget))
    if not rungs:
        return f"{name} (the budget ends before the first rung)"
    by = f" by {task.objective.metric}" if len(task.objectives) > 1 else ""
    at = f"steps {rungs}" if task.time_attr == "step" else f"{rungs} units of {task.time_attr}"
    return f"{name}{by} at {at}"


def _drawn_at_random(options: SearchOptions, task: Task) -> str | None:
    """The parameters that the sampler cannot model. For CMA-ES and the GP these are parameters that
    apply only sometimes, and for CMA-ES choices too."""
    if options.sampler not in ("gp", "cmaes"):
        return None
    choices = options.sampler == "cmaes"
    names = [
        name
        for name, parameter in task.space.parameters.items()
        if parameter.only_if or (choices and hasattr(parameter.distribution, "choices"))
    ]
    words = f"drawn at random, since {options.sampler} cannot model them: {', '.join(names)}"
    return words if names else None


def verdict(
    options: SearchOptions,
    task: Task,
    run: RunDirectory,
    best: Finalist | None,
    field: Sequence[Finalist],
) -> str:
    """The result in a few lines: the best settings, their results on fresh seeds, whether they are
    better than the best baseline, the other finalists, the baselines in the search, what the run's
    checks found, and the next command."""
    counts = Counter(outcome_of(record.ended).words for _, record in run.trials())
    outcomes = ", ".join(f"{count} {words}" for words, count in counts.most_common())
    lines = [f"{counted(counts.total(), 'trial')}: {outcomes}"]
    if best:
        lines.append(f"best       {_named(best, task)}")
        lines += _schedule(best)
        lines.append(f"selected   {_selected(best, task)}")
        if options.confirm:
            lines.append(f"confirmed  {_confirmed(best, task, options.confirm)}")
            if task.goal.guessed([*best.confirmations.values()]):
                lines.append(f"caution    they have learned nothing: {_guess(task.goal)}")
            elif not best.holds(task.goal, options.confirm):
                lines.append(f"caution    they do not reach {task.goal} on every fresh seed")
            lines += _better(run)
            lines += [
                f"finalist   {_named(one, task)} · {_confirmed(one, task, options.confirm)}"
                for one in field
                if one is not best
            ]
        lines += [*_final(best, run, task), *_weights(run), *_front(run, task)]
        lines += _baselines(run, task)
    else:
        lines.append("best       none: no trial ended with a result that can be compared")
    lines += remarks(run)
    where = shown(run.path)
    command = shlex.join(["python", from_here(REPORT), where])
    return "\n".join([*lines, f"run        {where}", f"next       {command}"])


def remarks(run: RunDirectory) -> list[str]:
    """A line for each of the run's checks that found an issue or has a tip, with a command to try
    if there is one."""
    found = [check for check in run_checks(Run(run.path)) if check.status in ("issue", "tip")]
    return [
        f"{check.code:<10} {check.sentence}" + (f" Try: {check.do}" if check.do else "")
        for check in found
    ]


def _settings(config: Mapping[str, Any], task: Task) -> str:
    return settings_words(task.space.varied(config))


def _named(finalist: Finalist, task: Task) -> str:
    name = f"trial {finalist.number}" + (f" ({finalist.baseline})" if finalist.baseline else "")
    return f"{name}: {_settings(finalist.config, task)}"


def _better(run: RunDirectory) -> list[str]:
    """Whether the best settings are better than the best baseline, and what would show it."""
    answer = versus_baseline(Run(run.path))
    if answer is None:
        return []
    lines = [f"better     {answer.words}"]
    if answer.seeds_needed:
        lines.append(
            f"           --resume --confirm {answer.seeds_needed} would show so large a difference"
        )
    return lines


def _schedule(candidate: Finalist) -> list[str]:
    """The settings that changed during the training. A confirmation makes the same changes."""
    changes = candidate.config.get("schedule")
    if not changes:
        return []
    trials = " > ".join(map(str, candidate.lineage))
    return [
        *(f"schedule   at step {step:,}: {settings_words(changed)}" for step, changed in changes),
        f"lineage    its weights came through trials {trials}; each confirmation trains the whole"
        " schedule from the start",
    ]


def _selected(candidate: Finalist, task: Task) -> str:
    row = candidate.last_row
    how = outcome_of(candidate.ended).words
    several = f"the {task.over_seeds} of {len(row.get('seeds', ()))} seeds"
    seeds = several if "seeds" in row else "on one seed"
    return f"{how} at step {row['step']:,} · {_metrics(row, task)} (in the search, {seeds})"


def _metrics(row: Mapping[str, Any], task: Task) -> str:
    names = [name for name in task.console_metrics if row.get(name) is not None]
    return " · ".join(f"{name} {metric_words(row[name])}" for name in names)


def _confirmed(candidate: Finalist, task: Task, count: int) -> str:
    goal, rows = task.goal, list(candidate.confirmations.values())
    values = [row[goal.metric] for row in rows if row.get(goal.metric) is not None]
    words = f"{candidate.reached(goal)} of {counted(len(rows), 'fresh seed')} reach {goal}"
    if len(rows) < count:
        words += f", then dropped ({count - len(rows)} left)"
    if values:
        worst = ("lowest", min(values)) if goal.at == "least" else ("highest", max(values))
        words += f" · {worst[0]} {metric_words(worst[1])}, mean {metric_words(mean(values))}"
        if len(values) < len(rows):
            words += f" of the {len(values)} with a result"
    steps = [row["steps_to_converge"] for row in rows if row.get("steps_to_converge")]
    if steps:
        words += f" · converged at step {min(steps):,} to {max(steps):,}"
        words += f", median {median(steps):,.0f}"
    return words


def _guess(goal: Goal) -> str:
    return f"{goal.metric} {goal.chance:.3g} is a guess"


def _final(best: Finalist, run: RunDirectory, task: Task) -> list[str]:
    """The result of the final training, if there was one."""
    final = final_training(best, run)
    if final is None:
        record = run.final().trial(best.number).read()
        ended = record and record.ended
        return [f"final      not used, because its outcome is: {ended}"] if ended else []
    row = final.rows()[-1]
    return [f"final      trained on to step {row['step']:,} · {_metrics(row, task)}"]


def _weights(run: RunDirectory) -> list[str]:
    best = run.path / "best"
    if (best / "model.safetensors").exists() or not (best / "config.json").exists():
        return []
    return ["caution    best/ has no weights: those of the winner's last step were not saved"]


def _front(run: RunDirectory, task: Task) -> list[str]:
    """The Pareto front of several objectives: trials that no other trial beats in all of them."""
    if len(task.objectives) < 2:
        return []
    names = [objective.metric for objective in task.objectives]
    return [
        f"front      trial {number}: "
        + " · ".join(f"{name} {metric_words(row.get(name))}" for name in names)
        for number, row in unbeaten(run, task)
    ]


def _baselines(run: RunDirectory, task: Task) -> list[str]:
    """The result of each baseline in this search."""
    lines, metric = [], task.console_metrics[0]
    for directory, record in run.trials():
        name, rows = record.config.get("baseline"), directory.rows()
        if name and rows:
            value = rows[-1].get(metric)
            result = f"no {metric}" if value is None else f"{metric} {metric_words(value)}"
            lines.append(
                f"baseline   {name}: {_settings(record.config, task)} · {result}"
                f" at step {rows[-1]['step']:,} ({record.ended})"
            )
    return lines
