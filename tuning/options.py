"""The options of every search, in one place: a field's docstring is its ``--help``, its value the default.

A script adds its own fields in a subclass and calls ``parse``. Whatever is wrong with the command line is said before Ray
or torch is even imported.
"""

import contextlib
import dataclasses
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

from command_line import BadOptions, exit_bad_options, read_arguments

if TYPE_CHECKING:
    from search_spaces import SearchSpace

Sampler = Literal["tpe", "gp", "cmaes", "qmc", "random"]
Scheduler = Literal["asha", "hyperband", "pbt", "none"]

MAX_SAMPLES = 900_000
"""Seeds are numbered within a search (see ``tuning.seeds``), which bounds the number of trials."""


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
    """Trials to run, the settings known beforehand among them."""
    gpus_per_trial: float = 0.0
    """GPU share of a trial: 0.5 runs two trials a GPU. On a machine without a GPU the search says so and uses CPUs."""
    cpus_per_trial: float = 1.0
    """CPU cores of a trial; it runs as many threads."""
    max_concurrent: int = 0
    """Most trials at once; 0: as many as the machine or cluster has room for."""
    sampler: Sampler = "tpe"
    """How Optuna chooses the next settings."""
    scheduler: Scheduler = "asha"
    """Which trials are stopped early: asynchronous successive halving, the same in several brackets, or none; pbt: none, but
    the poorest of the trials take over the weights of the best ones and go on with their settings, changed a little."""
    seed: int = 0
    """Seed of the whole search; every trial's own seed follows from it."""
    storage_path: str = "runs"
    """Folder of the run directories; on a cluster, one that every node sees."""
    name: str | None = None
    """Name of the run and its directory. Default: the experiment and the time it starts."""
    resume: bool = False
    """Go on with the run --name, or with the latest one of this experiment: finished trials are kept, interrupted ones
    continue from their checkpoints. A larger --num-samples adds trials."""
    address: str | None = None
    """An existing Ray cluster to run on (host:port, or auto). Default: Ray on this machine alone."""
    time_budget: str | None = None
    """Stop searching after this long, such as 90s, 30m or 2h; the best so far is confirmed all the same."""
    confirm: int = 5
    """Fresh seeds on which the best settings are trained again; 0: none."""
    optuna_storage: str | None = None
    """Database URL of the Optuna study, such as postgresql://user@host/db. Default: optuna.db in the run directory."""
    no_dashboard: bool = False
    """Leave out the Ray dashboard."""
    quiet: bool = False
    """Print the verdict only."""
    warm_start: tuple[str, ...] = ()
    """Earlier runs (folders, or names under --storage-path) whose best settings are tried first."""
    audit: float = 0.0
    """Share of the trials that early stopping would end which run on to their end, to see what it costs; such as 0.1."""
    target: float | None = None
    """Stop the search once settings reach this on every fresh seed: of the experiment's goal (the LSTM's test accuracy, the
    GAN's fd as a multiple of the real images'), which it replaces."""
    ablation: bool = False
    """At the end, train the way from the hand-tuned settings to the winner's, one change at a time, to see what bought what."""
    set: tuple[str, ...] = ()
    """Narrow, widen or fix parameters of the space, or let what is fixed vary: lr=1e-4..1e-1:log (a range; :linear,
    :step=S), max_norm=0.1 (fixed), beta1=0,0.5 (choices)."""
    space_file: str | None = None
    """The same from a TOML or YAML file, such as lr = {low = 1e-4, high = 0.1, log = true}; --set wins over it."""

    experiment: ClassVar[str]
    """Which training this is; the first part of a run's default name."""
    changeable: ClassVar[tuple[str, ...]] = ()
    """Options of the script's own that do not define the experiment: a resumed run may be given others."""

    def __post_init__(self) -> None:
        self._check_texts()
        _require(1 <= self.num_samples <= MAX_SAMPLES, f"--num-samples must be 1 to {MAX_SAMPLES:,}", self.num_samples)
        alone = self.scheduler == "pbt" and self.num_samples == 1
        _require(not alone, "--scheduler pbt needs a population: --num-samples must be at least 2", self.num_samples)
        _require(0 <= self.gpus_per_trial < float("inf"), "--gpus-per-trial must be 0 or more", self.gpus_per_trial)
        whole_gpus = self.gpus_per_trial <= 1 or self.gpus_per_trial == int(self.gpus_per_trial)
        _require(whole_gpus, "--gpus-per-trial above 1 must be a whole number", self.gpus_per_trial)
        _require(0 < self.cpus_per_trial < float("inf"), "--cpus-per-trial must be above 0", self.cpus_per_trial)
        for flag, amount in (("--cpus-per-trial", self.cpus_per_trial), ("--gpus-per-trial", self.gpus_per_trial)):
            _require(round(amount, 4) == amount, f"{flag} may have 4 decimals (Ray counts in 0.0001)", amount)
        most = f"--max-concurrent must be 0 to {MAX_SAMPLES:,}"
        _require(0 <= self.max_concurrent <= MAX_SAMPLES, most, self.max_concurrent)
        _require(0 <= self.seed < 2**31, "--seed must be 0 to 2147483647", self.seed)
        _require(0 <= self.confirm <= 1000, "--confirm must be 0 to 1000", self.confirm)
        _require("://" not in self.storage_path, "--storage-path must be a folder", self.storage_path)
        _require(0 <= self.audit <= 1, "--audit must be 0 to 1", self.audit)
        stops_early = self.scheduler in ("asha", "hyperband")
        _require(stops_early or not self.audit, "--audit is of --scheduler asha or hyperband", f"{self.scheduler}")
        _require(self.scheduler != "pbt" or not self.ablation, "--ablation is of settings that stay", "--scheduler pbt")
        _require(self.scheduler != "pbt" or self.target is None, "--target ends no population: leave it out", self.target)
        if self.target is not None:
            _require(self.confirm > 0, "--target is held against fresh seeds: --confirm must be above 0", self.confirm)
            _require(0 < self.target < float("inf"), "--target must be above 0 and finite", self.target)
        if self.name is not None:
            plain = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", self.name) is not None
            _require(plain, "--name takes letters, digits, '.', '_' and '-', starting with a letter or digit", self.name)
            _require(len(self.name) <= MAX_NAME, f"--name may have {MAX_NAME} characters", f"{len(self.name):,}")
        if self.time_budget is not None:
            _require(seconds(self.time_budget) > 0, "--time-budget takes a time such as 90s, 30m or 2h", self.time_budget)
            within = seconds(self.time_budget) <= MAX_DAYS * 86400
            _require(within, f"--time-budget may be {MAX_DAYS:,} days at most", self.time_budget)

    def _check_texts(self) -> None:
        """Refuse what no path, name or address can be: nothing, control characters, bytes that are no text, endless text."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            flag = f"--{field.name.replace('_', '-')}"
            for text in value if isinstance(value, tuple) else [value] if isinstance(value, str) else []:
                _require(field.name == "set" or text.strip() != "", f"{flag} must not be empty", repr(text))
                _require(text.isprintable(), f"{flag} must be printable text, on one line", ascii(text))
                fits = len(text) <= MAX_TEXT or field.name == "set"
                _require(fits, f"{flag} may have {MAX_TEXT:,} characters at most", f"{len(text):,}")

    def searched(self, space: "SearchSpace") -> "SearchSpace":
        """``space`` as --set wants it. Exits with status 2 and one line where it cannot be had."""
        if not self.set:
            return space
        from search_spaces.overrides import override, parse_overrides

        try:
            return override(space, parse_overrides(self.set), [field.name for field in dataclasses.fields(self)])
        except BadOptions as error:
            exit_bad_options(str(error))


def seconds(time: str) -> float:
    """A time such as 90, 90s, 30m, 2h or 1d in seconds; 0 where it cannot be read."""
    match = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]+)?)([smhd]?)", time.strip())
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]] if match else 0.0


def _require(condition: bool, rule: str, value: object) -> None:
    if not condition:
        shown = str(value) if not isinstance(value, int) or abs(value) < 10**MAX_SHOWN else f"a number above 1e{MAX_SHOWN}"
        raise BadOptions(f"{rule}, got {shown if len(shown) <= MAX_SHOWN else shown[:MAX_SHOWN] + '…'}")


Options = TypeVar("Options", bound=SearchOptions)


def parse(options: type[Options], arguments: list[str] | None = None) -> Options:
    """The command line as ``options``. Exits with status 2 and one line on stderr where it is wrong.

    With ``--resume`` the run's own options stand in for the defaults, so that ``--resume --name NAME`` is enough; what
    defines the experiment (the script's own options, the seed and the space) cannot be changed any more. What a space file
    says becomes part of ``set``, so that the file is needed no more.
    """
    try:
        given = _with_space_file(read_arguments(options, arguments), arguments)
        if not given.resume:
            return given
        recorded = _recorded_options(given)
        resumed = read_arguments(options, arguments, recorded)
        resumed = dataclasses.replace(resumed, set=given.set or recorded.set, space_file=None)
    except BadOptions as error:
        exit_bad_options(str(error))
    changeable = {*options.changeable, *(field.name for field in dataclasses.fields(SearchOptions))}
    for field in dataclasses.fields(options):
        defines = field.name in ("seed", "set", "warm_start") or field.name not in changeable
        before, now = getattr(recorded, field.name), getattr(resumed, field.name)
        if defines and before != now:
            flag = "--" + field.name.replace("_", "-")
            before, now = (" ".join(value) or "none" if isinstance(value, tuple) else value for value in (before, now))
            exit_bad_options(f"run {recorded.name} was started with {flag} {before}; it cannot go on with {now}")
    return dataclasses.replace(resumed, resume=True)


def _with_space_file(given: Options, arguments: list[str] | None) -> Options:
    """The options with the space file's entries, unless set otherwise, in ``set``, each in one spelling and in one order."""
    if sum(text == "--set" or text.startswith("--set=") for text in (sys.argv[1:] if arguments is None else arguments)) > 1:
        raise BadOptions("--set is given twice, one takes them all: --set lr=1e-3..1e-2 max_norm=0.1")
    if not given.set and given.space_file is None:
        return given
    from search_spaces.overrides import override_text, parse_overrides, read_space_file

    overrides = read_space_file(Path(given.space_file)) if given.space_file is not None else {}
    overrides |= parse_overrides(given.set)
    texts = sorted(override_text(name, wanted) for name, wanted in overrides.items())
    return dataclasses.replace(given, set=tuple(texts), space_file=None)


def _recorded_options(given: Options) -> Options:
    """The options of the run to resume, read from its ``search.json``."""
    runs = Path(given.storage_path)
    if given.name is None:
        started = [
            (record["sessions"][0]["started"], name)
            for name, record in _recorded_searches(runs)
            if record["experiment"] == given.experiment
        ]
        if not started:
            raise BadOptions(f"--resume: there is no {given.experiment} run under {runs}/")
        name = max(started)[1]
    else:
        name = given.name
    file = runs / name / "search.json"
    try:
        record = json.loads(file.read_text())
        # Flags are given anew each time, and tyro reads --flag only where its default is off.
        kept: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value  # JSON knows no tuples
            for key, value in record["options"].items()
            if not isinstance(value, bool)
        }
        flags = {field.name: False for field in dataclasses.fields(given) if field.type == "bool" or field.type is bool}
        return dataclasses.replace(type(given)(), **{**kept, **flags, "name": name, "storage_path": given.storage_path})
    except FileNotFoundError:
        raise BadOptions(f"--resume: there is no run {name} under {runs}/") from None
    except (ValueError, KeyError, TypeError) as error:
        raise BadOptions(f"--resume: {file} cannot be read ({error})") from None


def _recorded_searches(runs: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for file in runs.glob("*/search.json"):
        with contextlib.suppress(OSError, ValueError):
            yield file.parent.name, json.loads(file.read_text())
