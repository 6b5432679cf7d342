"""The options of every search, in one place: a field's docstring is its ``--help``, its value the
default.

A script adds its own fields in a subclass and calls ``parse``. Whatever is wrong with the command
line is said before Ray or torch is even imported.
"""

import contextlib
import dataclasses
import json
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

from command_line import UsageError, exit_usage_error, hide_arguments, read_arguments, user_path

if TYPE_CHECKING:
    from search_spaces import SearchSpace

Sampler = Literal["tpe", "gp", "cmaes", "qmc", "random"]
Scheduler = Literal["asha", "hyperband", "pbt", "none"]

MAX_SAMPLES = 900_000
"""Seeds are numbered within a search (see ``tuning.seeds``), which bounds the number of trials."""

STORAGE_VARIABLE = "TUNE_OPTUNA_STORAGE"
"""Environment variable from which ``--optuna-storage`` is read if the flag is not given."""


MAX_STEPS = 10_000_000
"""Training steps of a trial: days of work."""
MAX_DAYS = 3650
MAX_NAME = 255
"""Characters that a file system allows in a folder's name."""
MAX_SHOWN = 100
"""Characters of a refused value that a message repeats."""
MAX_TEXT = 1_000
"""Characters of any other name, path or address: paths made from it must stay below the 4,096 that Linux allows."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """Options every search has."""

    num_samples: int = 50
    """Number of trials, including the hand-tuned settings that every search tries first."""
    gpus_per_trial: float = 0.0
    """GPUs for each trial; 0.5 runs two trials on one GPU. A machine without a GPU uses its CPUs and says so."""
    cpus_per_trial: float = 1.0
    """CPU cores for each trial, and its number of threads."""
    max_concurrent: int = 0
    """Maximum number of trials at the same time; 0: as many as the machine or the cluster has room for."""
    sampler: Sampler = "tpe"
    """Optuna's sampler, which chooses the next settings."""
    scheduler: Scheduler = "asha"
    """asha: stop weak trials at fixed rungs. hyperband: ASHA with several grace periods. pbt:
    population based training (weak trials copy strong ones and change their settings a little).
    none: run every trial to the end."""
    seed: int = 0
    """Seed of the search. The seed of each trial follows from it."""
    storage_path: str = "runs"
    """Folder for run directories. On a cluster, every node must see it under the same path."""
    name: str | None = None
    """Name of the run and of its directory. Default: the experiment and the start time."""
    resume: bool = False
    """Continue the run --name, or the latest run of this experiment. Finished trials are kept,
    interrupted trials continue from their checkpoints, and a larger --num-samples adds trials."""
    address: str | None = None
    """Address of an existing Ray cluster: host:port, or auto. Default: start Ray on this machine."""
    time_budget: str | None = None
    """Stop searching after this time, such as 90s, 30m or 2h. The best settings so far are confirmed after it."""
    confirm: int = 5
    """Number of fresh seeds on which the best settings are trained again; 0: none."""
    optuna_storage: str | None = None
    """URL of the study's database, such as postgresql://user@host/db. Default: the environment
    variable TUNE_OPTUNA_STORAGE, else optuna.db in the run directory. Put a URL with a password
    into the variable: other users can see arguments until Python has started, and the shell's
    history keeps them. A password is never recorded, so --resume needs the variable or the flag
    again."""
    no_dashboard: bool = False
    """Do not start the Ray dashboard."""
    quiet: bool = False
    """Print the verdict only."""
    warm_start: tuple[str, ...] = ()
    """Earlier runs whose best settings are tried first: folders, or names under --storage-path."""
    audit: float = 0.0
    """Fraction of would-be-stopped trials that run to completion anyway, to estimate what early stopping costs, such as 0.1."""
    target: float | None = None
    """End the search as soon as one configuration reaches this value on every confirmation seed. Replaces the default goal."""
    ablation: bool = False
    """After the search, change the hand-tuned settings into the best ones step by step, and train each step."""
    set: tuple[str, ...] = ()
    """Change the search space: lr=1e-4..1e-1:log (a range, also :linear and :step=S), max_norm=0.1
    (a fixed value), beta1=0,0.5 (choices)."""
    space_file: str | None = None
    """TOML or YAML file with changes to the search space, such as lr = {low = 1e-4, high = 0.1, log
    = true}. --set wins over it."""
    train: tuple[str, ...] = ()
    """Train one configuration and search nothing. Give a run's best/config.json, a trial's
    trial.json (which has the seed too), or a value for every parameter (lr=0.01 max_norm=0.1).
    --seed is the seed of the training itself."""
    in_process: bool = False
    """With --train: train in this process and without Ray, so that a debugger stops in the training."""

    experiment: ClassVar[str]
    """Which training this is; the first part of a run's default name."""
    changeable: ClassVar[tuple[str, ...]] = ()
    """Options of the script's own that do not define the experiment: a resumed run may be given others."""

    def __post_init__(self) -> None:
        self._check_texts()
        _require(
            1 <= self.num_samples <= MAX_SAMPLES,
            f"--num-samples must be 1 to {MAX_SAMPLES:,}",
            self.num_samples,
        )
        alone = self.synchronous and self.num_samples == 1
        _require(
            not alone,
            "--scheduler pbt needs a population: --num-samples must be at least 2",
            self.num_samples,
        )
        _require(
            0 <= self.gpus_per_trial < float("inf"),
            "--gpus-per-trial must be 0 or more",
            self.gpus_per_trial,
        )
        whole_gpus = self.gpus_per_trial <= 1 or self.gpus_per_trial == int(self.gpus_per_trial)
        _require(whole_gpus, "--gpus-per-trial above 1 must be a whole number", self.gpus_per_trial)
        _require(
            0 < self.cpus_per_trial < float("inf"),
            "--cpus-per-trial must be above 0",
            self.cpus_per_trial,
        )
        for flag, amount in (
            ("--cpus-per-trial", self.cpus_per_trial),
            ("--gpus-per-trial", self.gpus_per_trial),
        ):
            _require(
                round(amount, 4) == amount,
                f"{flag} may have 4 decimals (Ray counts in 0.0001)",
                amount,
            )
        most = f"--max-concurrent must be 0 to {MAX_SAMPLES:,}"
        _require(0 <= self.max_concurrent <= MAX_SAMPLES, most, self.max_concurrent)
        _require(0 <= self.seed < 2**31, "--seed must be 0 to 2147483647", self.seed)
        _require(0 <= self.confirm <= 1000, "--confirm must be 0 to 1000", self.confirm)
        _require(
            "://" not in self.storage_path, "--storage-path must be a folder", self.storage_path
        )
        self._read_as("storage_path", user_path("--storage-path", self.storage_path))
        _require(
            _is_utf8(self.storage_path),
            "--storage-path must be UTF-8 in a UTF-8 locale (LC_ALL=C.UTF-8)",
            self.storage_path,
        )
        self._read_as(
            "warm_start", tuple(user_path("--warm-start", run) for run in self.warm_start)
        )
        if self.space_file is not None:
            self._read_as("space_file", user_path("--space-file", self.space_file))
        if self.optuna_storage is not None:  # the real URL is ``reveal(options.optuna_storage)``
            self._read_as(
                "optuna_storage", hide_arguments(["--optuna-storage", self.optuna_storage])[1]
            )
        _require(0 <= self.audit <= 1, "--audit must be 0 to 1", self.audit)
        stops_early = self.scheduler in ("asha", "hyperband")
        _require(
            stops_early or not self.audit,
            "--audit needs --scheduler asha or hyperband",
            f"{self.scheduler}",
        )
        pbt = self.synchronous
        _require(
            not (pbt and self.ablation),
            "--ablation cannot be used with --scheduler pbt: leave one of them out",
            "both",
        )
        _require(
            not (pbt and self.target),
            "--target cannot be used with --scheduler pbt: leave one of them out",
            "both",
        )
        if self.target is not None:
            _require(
                self.confirm > 0,
                "--target needs confirmation seeds: --confirm must be above 0",
                self.confirm,
            )
            _require(
                0 < self.target < float("inf"), "--target must be above 0 and finite", self.target
            )
        _require(
            not self.in_process or bool(self.train),
            "--in-process needs --train: it runs one training",
            self.in_process,
        )
        if self.name is not None:
            plain = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", self.name) is not None
            _require(
                plain,
                "--name takes letters, digits, '.', '_' and '-', starting with a letter or digit",
                self.name,
            )
            _require(
                len(self.name) <= MAX_NAME,
                f"--name may have {MAX_NAME} characters",
                f"{len(self.name):,}",
            )
        if self.time_budget is not None:
            _require(
                seconds(self.time_budget) > 0,
                "--time-budget takes a time such as 90s, 30m or 2h",
                self.time_budget,
            )
            within = seconds(self.time_budget) <= MAX_DAYS * 86400
            _require(within, f"--time-budget may be {MAX_DAYS:,} days at most", self.time_budget)

    def _check_texts(self) -> None:
        """Refuse what no path, name or address can be: nothing, control characters, bytes that are no text, endless text."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            flag = f"--{field.name.replace('_', '-')}"
            for text in (
                value if isinstance(value, tuple) else [value] if isinstance(value, str) else []
            ):
                _require(
                    field.name == "set" or text.strip() != "",
                    f"{flag} must not be empty",
                    repr(text),
                )
                _require(
                    text.isprintable(), f"{flag} must be printable text, on one line", ascii(text)
                )
                fits = len(text) <= MAX_TEXT or field.name in ("set", "train")
                _require(fits, f"{flag} may have {MAX_TEXT:,} characters at most", f"{len(text):,}")

    def _read_as(self, field: str, value: object) -> None:
        object.__setattr__(self, field, value)

    @property
    def synchronous(self) -> bool:
        """Whether all trials train together and wait for one another: population based training."""
        return self.scheduler == "pbt"

    def run_path(self) -> Path:
        """The run directory: named by --name, or by the experiment and the time, under --storage-path."""
        name = self.name or f"{self.experiment}-{time.strftime('%Y%m%d-%H%M%S')}"
        return Path(self.storage_path).absolute() / name

    def searched(self, space: "SearchSpace") -> "SearchSpace":
        """``space`` as --set wants it. Raises UsageError if it cannot be had."""
        if not self.set:
            return space
        from search_spaces.overrides import override, parse_overrides

        return override(
            space, parse_overrides(self.set), [field.name for field in dataclasses.fields(self)]
        )


def seconds(time: str) -> float:
    """A time such as 90, 90s, 30m, 2h or 1d in seconds; 0 where it cannot be read."""
    match = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]+)?)([smhd]?)", time.strip())
    return (
        float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]]
        if match
        else 0.0
    )


def _is_utf8(path: str) -> bool:
    """Whether Ray Tune can write there: it takes no other file names."""
    try:
        str(Path(path).absolute()).encode()
    except UnicodeEncodeError:
        return False
    return True


def _require(condition: bool, rule: str, value: object) -> None:
    if not condition:
        shown = (
            str(value)
            if not isinstance(value, int) or abs(value) < 10**MAX_SHOWN
            else f"a number above 1e{MAX_SHOWN}"
        )
        raise UsageError(
            f"{rule}, got {shown if len(shown) <= MAX_SHOWN else shown[:MAX_SHOWN] + '…'}"
        )


Options = TypeVar("Options", bound=SearchOptions)


def parse(options: type[Options], arguments: list[str] | None = None) -> Options:
    """The command line as ``options``. Exits with status 2 and one line on stderr where it is
    wrong.

    With ``--resume`` the run's own options stand in for the defaults, so that ``--resume --name
    NAME`` is enough; what defines the experiment (the script's own options, the seed and the space)
    cannot be changed any more. What a space file says becomes part of ``set``, so that the file is
    needed no more.

    TUNE_OPTUNA_STORAGE is taken out of the environment, so that no worker process inherits it.
    """
    variable = os.environ.pop(STORAGE_VARIABLE, None) or None
    try:
        given = _with_space_file(read_arguments(options, arguments), arguments)
        if given.train and not given.resume:
            given = _for_one_training(options, given, arguments)
        if not given.resume:
            return dataclasses.replace(given, optuna_storage=given.optuna_storage or variable)
        recorded = _recorded_options(given)
        resumed = read_arguments(options, arguments, recorded)
        storage = (
            given.optuna_storage
            or (recorded.optuna_storage and variable)
            or recorded.optuna_storage
        )
        resumed = dataclasses.replace(
            resumed, set=given.set or recorded.set, space_file=None, optuna_storage=storage
        )
    except UsageError as error:
        exit_usage_error(str(error))
    changeable = {*options.changeable, *(field.name for field in dataclasses.fields(SearchOptions))}
    for field in dataclasses.fields(options):
        defines = (
            field.name in ("seed", "set", "warm_start", "train") or field.name not in changeable
        )
        before, now = getattr(recorded, field.name), getattr(resumed, field.name)
        if defines and before != now:
            flag = "--" + field.name.replace("_", "-")
            before, now = (
                " ".join(value) or "none" if isinstance(value, tuple) else value
                for value in (before, now)
            )
            exit_usage_error(
                f"run {recorded.name} was started with {flag} {before}; it cannot go on with {now}"
            )
    return dataclasses.replace(resumed, resume=True)


def _for_one_training(
    options: type[Options], given: Options, arguments: list[str] | None
) -> Options:
    """The options of ``--train``: those that the configuration has are taken from it, unless they are given as well."""
    from tuning.one_training import CONFLICTS, WITHOUT_SEARCH, as_options, read_settings

    flags = {text.partition("=")[0] for text in (sys.argv[1:] if arguments is None else arguments)}
    for flag in CONFLICTS:
        if flag in flags:
            raise UsageError(
                f"--train trains one configuration and searches nothing: leave out {flag}"
            )
    settings = read_settings(given.train)
    try:
        default = dataclasses.replace(options(), **WITHOUT_SEARCH, **as_options(options, settings))
    except TypeError:
        raise UsageError(
            f"--train: a value in {' '.join(given.train)} is of another kind than the option takes"
        ) from None
    given = read_arguments(options, arguments, default)
    return dataclasses.replace(given, train=(json.dumps({**settings, "seed": given.seed}),))


def _with_space_file(given: Options, arguments: list[str] | None) -> Options:
    """The options with the space file's entries, unless set otherwise, in ``set``, each in one spelling and in one order."""
    if (
        sum(
            text == "--set" or text.startswith("--set=")
            for text in (sys.argv[1:] if arguments is None else arguments)
        )
        > 1
    ):
        raise UsageError(
            "--set is given twice, one takes them all: --set lr=1e-3..1e-2 max_norm=0.1"
        )
    if not given.set and given.space_file is None:
        return given
    from search_spaces.overrides import override_text, parse_overrides, read_space_file

    overrides = read_space_file(Path(given.space_file)) if given.space_file is not None else {}
    overrides |= parse_overrides(given.set)
    texts = sorted(override_text(name, wanted) for name, wanted in overrides.items())
    return dataclasses.replace(given, set=tuple(texts), space_file=None)


def _recorded_options(given: Options) -> Options:
    """The options of the run to resume, read from its ``search.json`` as if they were typed: with the same checks."""
    runs = Path(given.storage_path)
    name = given.name
    if name is None:
        started = max(_recorded_searches(runs, given.experiment), default=None)
        if started is None:
            raise UsageError(f"--resume: there is no {given.experiment} run under {runs}/")
        name = started[1]
    file = runs / name / "search.json"
    try:
        recorded = json.loads(file.read_bytes())["options"]
        typed = [word for option, value in recorded.items() for word in _typed(option, value)]
        options = read_arguments(type(given), typed)
        return dataclasses.replace(options, name=name, storage_path=given.storage_path)
    except FileNotFoundError:
        raise UsageError(f"--resume: there is no run {name} under {runs}/") from None
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(
            f"--resume: {file} cannot be read, or another version wrote it ({reason})"
        ) from None


def _typed(option: str, value: Any) -> list[str]:
    """A recorded option as it stands on the command line; nothing for a switch, which each session is given anew."""
    flag = "--" + option.replace("_", "-")
    if value is None or isinstance(value, bool) or value == []:
        return []
    return [flag, *map(str, value)] if isinstance(value, list) else [f"{flag}={value}"]


def _recorded_searches(runs: Path, experiment: str) -> Iterator[tuple[float, str]]:
    """When each run of the experiment started, and its name."""
    for file in runs.glob("*/search.json"):
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError, RecursionError):
            record = json.loads(file.read_bytes())
            if record["experiment"] == experiment:
                yield float(record["sessions"][0]["started"]), file.parent.name
