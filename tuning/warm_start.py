"""The best settings of earlier runs, which a new search tries first (``--warm-start``).

Only settings are taken over, not their metrics: see docs/decisions/warm-start.md. An earlier run is
read from its files and never written to.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from command_line import UsageError
from records.fetch import fetch
from records.outcome import COMPLETE
from records.places import below, is_uri
from records.run import Run
from records.search_json import NotARun
from search_spaces import SearchSpace, contains
from search_spaces.unit_scale import place
from tuning.options import SearchOptions
from tuning.task import Task

WARM_TRIALS = 5
"""The most settings of earlier runs that are tried."""

APART = 0.05
"""Settings differ if a choice differs, or if a number differs by this fraction of its range."""


@dataclass(frozen=True)
class WarmStart:
    """Settings to try, each with the run and trial that it is from, and notes for the user."""

    settings: list[tuple[dict[str, Any], str]]
    notes: list[str]


def read_warm_start(options: SearchOptions, task: Task) -> WarmStart:
    """The best settings of the runs of ``--warm-start`` that lie in the space and differ from one
    another and from the baselines. The runs take turns, each with its best settings first.

    Raises UsageError if there is no such run, or if it belongs to another experiment.
    """
    found, notes = [], []
    for name in options.warm_start:
        run = _earlier_run(name, options)
        ranked, sentences = _ranked(run, task)
        source = run.path.name
        found.append([(settings, f"{source} trial {number}") for number, settings in ranked])
        notes += [f"warm start from {source}: {sentence}" for sentence in sentences]
    chosen: list[tuple[dict[str, Any], str]] = []
    others = [*task.space.baselines.values()]
    for settings, source in filter(None, chain.from_iterable(zip_longest(*found))):
        if all(_differ(settings, other, task.space) for other in others):
            chosen.append((settings, source))
            others.append(settings)
        if len(chosen) == WARM_TRIALS:
            break
    if options.warm_start:
        notes.insert(0, f"warm start: {len(chosen)} earlier settings are tried first")
    return WarmStart(chosen, notes)


def _folder(name: str, options: SearchOptions) -> Path | None:
    """The folder of an earlier run on this machine, to which a run at a URI is copied."""
    if is_uri(name):
        return fetch(name)
    places = [Path(name)]
    if not is_uri(options.storage_path):
        places.append(Path(options.storage_path) / name)
    elif not (places[0] / "search.json").is_file():
        places.append(fetch(below(options.storage_path, name)))
    return next((place for place in places if (place / "search.json").is_file()), None)


def _earlier_run(name: str, options: SearchOptions) -> Run:
    folder = _folder(name, options)
    if folder is None:
        raise UsageError(
            f"--warm-start: there is no run {name}, neither as a folder nor under"
            f" {options.storage_path}/"
        )
    try:
        run = Run.open(folder.absolute())
    except NotARun as error:
        raise UsageError(f"--warm-start: {error}") from None
    if run.experiment != options.experiment:
        raise UsageError(
            f"--warm-start: {name} is a run of {run.experiment}, but this is a search"
            f" of {options.experiment}: name a run of {options.experiment}"
        )
    return run


def _ranked(run: Run, task: Task) -> tuple[list[tuple[int, dict[str, Any]]], list[str]]:
    """The run's trials that can be tried here, as number and settings, best first; and sentences
    about the run as a whole."""
    objective = task.objective
    ended = [one for one in run.finished if one.ended in COMPLETE and one.last]
    comparable = [one for one in ended if one.last.get(objective.metric) is not None]
    winner = run.best if run.metric == objective.metric else None
    comparable.sort(key=lambda one: (one.number != winner, objective.loss(one.last), one.number))
    inside = [
        (trial.number, settings)
        for trial in comparable
        if (settings := _inside(trial.config, run.parameters, task)) is not None
    ]
    return inside, list(_notes(run, len(ended), len(comparable), len(inside), task))


def _notes(run: Run, ended: int, comparable: int, inside: int, task: Task) -> Iterator[str]:
    metric = task.objective.metric
    if run.metric != metric:
        yield f"it optimized {run.metric}; here its trials are ranked by {metric}"
    if comparable < ended:
        yield f"{ended - comparable} of {ended} trials have no {metric} and are left out"
    if inside < comparable:
        outside = comparable - inside
        yield f"{outside} of {comparable} trials lie outside this search's space and are left out"
    if not ended:
        yield "none of its trials converged or used its whole budget"
    here, there = {**task.space.fixed, **task.settings}, run.fixed
    changed = [
        f"{name} {there[name]} there, {value} here"
        for name, value in here.items()
        if name in there and there[name] != value
    ]
    if changed:
        yield "; ".join(changed)


def _inside(
    config: Mapping[str, Any], varied: Mapping[str, Any], task: Task
) -> dict[str, Any] | None:
    """The config as settings of this search's space, or None if it lies outside that space.

    A parameter that the earlier run did not have is left out, so the sampler draws it. A parameter
    that the earlier run varied and that is fixed here must have the fixed value.
    """
    space = task.space
    fixed = {**space.fixed, **task.settings}
    kept = [name for name in varied if name in config and name not in space.parameters]
    if any(config[name] != fixed.get(name) for name in kept):
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
        values = [settings[name] for settings in (one, other) if name in settings]
        places = [place(value, parameter.distribution) for value in values]
        match places:
            case [_]:
                return True
            case [float(here), float(there)]:
                if abs(here - there) >= APART:
                    return True
            case [_, _] if values[0] != values[1]:
                return True
    return False
