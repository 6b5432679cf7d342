"""What an earlier run found, as settings that a new search tries first (``--warm-start``).

Settings travel, values do not: see docs/decisions/warm-start.md. The earlier run is read from its
files and never written to.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from command_line import UsageError
from records.outcome import COMPLETE
from records.run import Run
from records.search_json import NotARun
from search_spaces import SearchSpace, contains
from search_spaces.unit_scale import place
from tuning.options import SearchOptions
from tuning.task import Task

WARM_TRIALS = 5
"""Settings of earlier runs that are tried, at most."""

APART = 0.05
"""Settings are different if a choice differs, or if a number is this fraction of its range away."""


@dataclass(frozen=True)
class WarmStart:
    """Settings to try, each with the run and trial it is from, and what the user should know of them."""

    settings: list[tuple[dict[str, Any], str]]
    notes: list[str]


def read_warm_start(options: SearchOptions, task: Task) -> WarmStart:
    """The best different settings of the runs of ``--warm-start`` that lie in the space, the best
    of each run first.

    Raises UsageError where there is no such run, or where it is of another experiment.
    """
    found, notes = [], []
    for name in options.warm_start:
        run = _earlier_run(name, options)
        of_this_run, words = _ranked(run, task)
        found.append(
            [(settings, f"{run.path.name} trial {number}") for number, settings in of_this_run]
        )
        notes += [f"warm start from {run.path.name}: {sentence}" for sentence in words]
    chosen: list[tuple[dict[str, Any], str]] = []
    in_turn = (one for one in chain.from_iterable(zip_longest(*found)) if one)
    for settings, source in in_turn:
        others = [*task.space.baselines.values(), *(one for one, _ in chosen)]
        if len(chosen) < WARM_TRIALS and all(
            _differ(settings, other, task.space) for other in others
        ):
            chosen.append((settings, source))
    if options.warm_start:
        notes.insert(0, f"warm start: {len(chosen)} earlier settings are tried first")
    return WarmStart(chosen, notes)


def _earlier_run(name: str, options: SearchOptions) -> Run:
    folders = [
        folder
        for folder in (Path(name), Path(options.storage_path) / name)
        if (folder / "search.json").is_file()
    ]
    if not folders:
        raise UsageError(
            f"--warm-start: there is no run {name}, neither as a folder nor under {options.storage_path}/"
        )
    try:
        run = Run.open(folders[0].absolute())
    except NotARun as error:
        raise UsageError(f"--warm-start: {error}") from None
    if run.experiment != options.experiment:
        raise UsageError(
            f"--warm-start: {name} is a run of {run.experiment}, this is a search of {options.experiment}"
        )
    return run


def _ranked(run: Run, task: Task) -> tuple[list[tuple[int, dict[str, Any]]], list[str]]:
    """Number and settings of the run's trials that can be tried here, best first; and sentences on the run as a whole."""
    objective = task.objective
    ended = [one for one in run.finished if one.ended in COMPLETE and one.last]
    comparable = [one for one in ended if one.last.get(objective.metric) is not None]
    winner = run.best if run.metric == objective.metric else None
    comparable.sort(key=lambda one: (one.number != winner, objective.loss(one.last), one.number))
    inside = []
    for trial in comparable:
        settings = _inside(trial.config, run.parameters, task)
        if settings is not None:
            inside.append((trial.number, settings))
    return inside, list(_notes(run, len(ended), len(comparable), len(inside), task))


def _notes(run: Run, ended: int, comparable: int, inside: int, task: Task) -> Iterator[str]:
    metric = task.objective.metric
    if run.metric != metric:
        yield f"it was searched for {run.metric}, its trials are ranked by {metric} here"
    if comparable < ended:
        yield f"{ended - comparable} of {ended} trials have no {metric} and are left out"
    if inside < comparable:
        yield f"{comparable - inside} of {comparable} trials lie outside of this search's space and are left out"
    if not ended:
        yield "none of its trials has ended by itself"
    here = {**task.space.fixed, **task.settings}
    changed = [
        f"{name} {run.fixed[name]} there, {here[name]} here"
        for name in here
        if name in run.fixed and run.fixed[name] != here[name]
    ]
    if changed:
        yield "; ".join(changed)


def _inside(
    config: Mapping[str, Any], varied: Mapping[str, Any], task: Task
) -> dict[str, Any] | None:
    """The config as settings of this search's space, or None where it lies outside of it.

    A parameter that the earlier run did not know is left out: the sampler draws it. One that it
    varied and that is fixed here must have the fixed value.
    """
    space = task.space
    fixed = {**space.fixed, **task.settings}
    if any(
        config[name] != fixed.get(name)
        for name in varied
        if name in config and name not in space.parameters
    ):
        return None
    settings: dict[str, Any] = {}
    for name, parameter in space.parameters.items():
        if name in config and parameter.applies(settings):
            if not contains(parameter.distribution, config[name]):
                return None
            settings[name] = config[name]
    return settings


def _differ(one: Mapping[str, Any], other: Mapping[str, Any], space: SearchSpace) -> bool:
    for name, parameter in space.parameters.items():
        if (name in one) != (name in other):
            return True
        if name in one:
            here, there = (
                place(settings[name], parameter.distribution) for settings in (one, other)
            )
            if here is None or there is None:
                if one[name] != other[name]:
                    return True
            elif abs(here - there) >= APART:
                return True
    return False
