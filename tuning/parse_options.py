"""A script's options, read from the command line, a space file, ``--train`` and ``--resume``."""

import contextlib
import dataclasses
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from command_line import UsageError, exit_usage_error, read_arguments
from records.places import is_uri
from tuning.options import STORAGE_VARIABLE, SearchOptions, flag

Options = TypeVar("Options", bound=SearchOptions)


def parse(options: type[Options], arguments: list[str] | None = None) -> Options:
    """The command line as ``options``. Exits with status 2 and one line on stderr if it is wrong.

    With ``--resume``, or ``--resume-or-start`` if the run exists, the run's own options are the
    defaults, so ``--resume --name NAME`` is enough. What defines the experiment cannot change then:
    the script's own options, the seed, the space. The entries of a space file become part of
    ``set``, so the file is not needed again. Switches such as --ablation are not kept: each session
    must give them again.

    TUNE_OPTUNA_STORAGE is taken out of the environment, so that no worker process inherits it.
    """
    variable = os.environ.pop(STORAGE_VARIABLE, None) or None
    words = sys.argv[1:] if arguments is None else arguments
    flags = [word.partition("=")[0].replace("_", "-") for word in words]
    try:
        given = _with_space_file(read_arguments(options, arguments), flags)
        begun = given.resume_or_start and _searches(given.storage_path, given.name)
        if given.resume or begun:
            return _resumed(given, arguments, variable)
        if given.train:
            given = _for_one_training(given, arguments, flags)
        return dataclasses.replace(given, optuna_storage=given.optuna_storage or variable)
    except UsageError as error:
        exit_usage_error(str(error))


def _with_space_file(given: Options, flags: list[str]) -> Options:
    """The options with the space file's entries in ``set``, each in one spelling and sorted. An
    entry of ``--set`` replaces the file's.
    """
    if flags.count("--set") > 1:
        raise UsageError(
            "--set is given twice: name all changes after one, --set lr=1e-3..1e-2 max_norm=0.1"
        )
    if not given.set and given.space_file is None:
        return given
    from search_spaces.set_syntax import override_text, parse_overrides

    overrides = parse_overrides(given.set)
    if given.space_file is not None:
        from search_spaces.space_file import read_space_file

        overrides = read_space_file(Path(given.space_file)) | overrides
    texts = sorted(override_text(name, wanted) for name, wanted in overrides.items())
    return dataclasses.replace(given, set=tuple(texts), space_file=None)


def _for_one_training(given: Options, arguments: list[str] | None, flags: list[str]) -> Options:
    """The options of ``--train``: the configuration's own are defaults, which flags replace."""
    from tuning.one_training import CONFLICTS, WITHOUT_SEARCH, as_options, read_settings

    for name in CONFLICTS:
        if name in flags:
            raise UsageError(
                f"--train trains one configuration and searches nothing: leave out {name}"
            )
    options = type(given)
    settings = read_settings(given.train)
    own = as_options(options, settings)
    typed = [word for name, value in own.items() for word in _typed(name, value)]
    default = read_arguments(options, [*typed, "--train", *given.train])
    default = dataclasses.replace(default, **WITHOUT_SEARCH)
    given = read_arguments(options, arguments, default)
    return dataclasses.replace(given, train=(json.dumps({**settings, "seed": given.seed}),))


def _resumed(given: Options, arguments: list[str] | None, variable: str | None) -> Options:
    """The recorded options of the run to resume, with what is given now. Raises UsageError if that
    would change the experiment.
    """
    recorded = _recorded_options(given)
    resumed = dataclasses.replace(
        read_arguments(type(given), arguments, recorded),
        set=given.set or recorded.set,
        space_file=None,
        optuna_storage=given.optuna_storage
        or (recorded.optuna_storage and variable)
        or recorded.optuna_storage,
    )
    common = {field.name for field in dataclasses.fields(SearchOptions)}
    changeable = {*given.changeable, *common} - {
        "seed", "seeds_per_trial", "set", "warm_start", "train",
    }  # fmt: skip

    for field in dataclasses.fields(given):
        before, now = getattr(recorded, field.name), getattr(resumed, field.name)
        if before != now and field.name not in changeable:
            before, now = (
                " ".join(value) or "none" if isinstance(value, tuple) else value
                for value in (before, now)
            )
            raise UsageError(
                f"run {recorded.name} was started with {flag(field.name)} {before};"
                f" it cannot go on with {now}"
            )
    return dataclasses.replace(resumed, resume=True)


def _recorded_options(given: Options) -> Options:
    """The options in the ``search.json`` of the run to resume, read like typed ones, with the same
    checks.
    """
    runs, name = given.storage_path, given.name
    searches = _searches(runs, name)
    if name is None:
        latest = max(_started(searches, given.experiment), default=None)
        if latest is None:
            raise UsageError(f"--resume: there is no {given.experiment} run under {runs}/")
        _, name = latest
    if name not in searches:
        raise UsageError(f"--resume: there is no run {name} under {runs}/")
    file = f"{runs}/{name}/search.json"
    try:
        recorded = json.loads(searches[name]())["options"]
        typed = [word for option, value in recorded.items() for word in _typed(option, value)]
        options = read_arguments(type(given), typed)
        return dataclasses.replace(options, name=name, storage_path=given.storage_path)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(
            f"--resume: {file} cannot be read, or another version wrote it ({reason})"
        ) from None


def _typed(option: str, value: Any) -> list[str]:
    """A recorded option as command-line words. None for a switch: each session gets them anew."""
    if value is None or isinstance(value, bool) or value == []:
        return []
    if isinstance(value, list):
        return [flag(option), *map(str, value)]
    return [f"{flag(option)}={value}"]


def _searches(runs: str, name: str | None) -> dict[str, Callable[[], bytes]]:
    """What reads ``search.json`` of the run of this name in a folder or at a URI, or of each run
    there, by name. Raises UsageError if the URI cannot be used."""
    if is_uri(runs):
        from records.fetch import recorded_searches

        found = recorded_searches(runs, name)
        return {one: partial(bytes, content) for one, content in found.items()}
    files = Path(runs).glob(f"{name or '*'}/search.json")
    return {file.parent.name: file.read_bytes for file in files}


def _started(
    searches: Mapping[str, Callable[[], bytes]], experiment: str
) -> Iterator[tuple[float, str]]:
    """Start time and name of each run of the experiment."""
    for name, read in searches.items():
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError, RecursionError):
            record = json.loads(read())
            if record["experiment"] == experiment:
                yield float(record["sessions"][0]["started"]), name
