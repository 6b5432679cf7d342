"""The options of every search: a field's docstring is its ``--help``, its value the default.

``--help`` keeps the line breaks of a docstring, so each line there is a whole sentence.

A script adds its own fields in a subclass; ``tuning.parse_options`` reads the command line. What is
wrong with the options is said before Ray or torch is imported.
"""

import dataclasses
import math
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from command_line import UsageError, hide_arguments
from records.places import copy_of, is_uri, user_place

if TYPE_CHECKING:
    from search_spaces import SearchSpace

Sampler = Literal["tpe", "gp", "cmaes", "qmc", "random"]
Scheduler = Literal["asha", "hyperband", "pbt", "none"]

RUNGS = ("asha", "hyperband")
"""Schedulers that stop weak trials at rungs."""

MAX_SAMPLES = 900_000
"""Seeds are numbered within a search (see ``tuning.seeds``), which limits the number of trials."""
STORAGE_VARIABLE = "TUNE_OPTUNA_STORAGE"
"""Environment variable from which ``--optuna-storage`` is read if the flag is not given."""
MAX_STEPS = 10_000_000
"""The largest --max-steps: such a trial takes days."""
MAX_TRAINING_SEED = 10**13
"""The largest --seed of --train: a trial's own seed is a million times its search's, and more."""
MAX_DAYS = 3650
MAX_NAME = 255
"""Characters that a file system allows in a folder's name."""
MAX_SHOWN = 100
"""Characters of a refused value that a message repeats."""
MAX_TEXT = 1_000
"""The most characters of another name, path or address: Linux allows 4,096 in a whole path."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """Options of every search."""

    num_samples: int = 50
    """Number of trials, including the baselines, known settings that are tried first."""
    gpus_per_trial: float = 0.0
    """GPUs for each trial. 0: trials use CPUs only. 0.5: two trials share a GPU.
    On a machine without a GPU, trials use CPUs, and a line says so."""
    cpus_per_trial: float = 1.0
    """CPU cores for each trial, and its number of threads."""
    probe_gpu: bool = False
    """Search nothing: train 1, 2, 4 and 8 trials at once on one GPU, and print what they need.
    The result recommends a --gpus-per-trial. It takes a few minutes and leaves no run."""
    max_concurrent: int = 0
    """Maximum number of trials at the same time.
    0: as many as the machine or the cluster has room for."""
    sampler: Sampler = "tpe"
    """Optuna's sampler, which chooses the settings of each trial."""
    scheduler: Scheduler = "asha"
    """asha: stop weak trials at fixed steps (rungs).
    hyperband: ASHA with several grace periods.
    pbt: population based training. Weak trials copy strong ones and change settings a little.
    It needs parameters that may change during a training (mutable ones).
    none: run every trial to the end."""
    seed: int = 0
    """Seed of the search. The seeds of its trials follow from it."""
    seeds_per_trial: int = 1
    """Number of seeds on which a trial trains its settings, in turns, in one process.
    The search then compares the worst of them or their mean: the plan says which.
    With asha or hyperband, only the first seed trains up to the first rung."""
    storage_path: str = "runs"
    """Folder for run directories, or a URI such as s3://bucket/runs.
    On a cluster, every node must see the folder under the same path, or reach the URI."""
    name: str | None = None
    """Name of the run and of its directory. Default: the experiment and the start time."""
    resume: bool = False
    """Continue the run --name, or the latest run of this experiment.
    Finished trials are kept, and interrupted trials continue from their checkpoints.
    A larger --num-samples adds trials."""
    resume_or_start: bool = False
    """Continue the run --name if there is one, else start it.
    This is for job managers, which give the same command again after a failure."""
    address: str | None = None
    """Address of a running Ray cluster: host:port, auto, or local to start Ray on this machine.
    Default: the variable RAY_ADDRESS, or else local."""
    pip: tuple[str, ...] = ()
    """Packages that Ray installs on every node for the trials, such as pillow==13.0.0.
    They are for the nodes of a cluster. The project and your experiment are always sent there."""
    time_budget: str | None = None
    """Stop searching after this time, such as 90s, 30m or 2h.
    The best settings so far are then confirmed."""
    confirm: int = 5
    """Number of fresh seeds on which the finalists are trained again; 0: none.
    A finalist that is worse than another one there is dropped before its last seed."""
    finalists: int = 3
    """Number of trials, the best that are no baselines, that are trained on fresh seeds.
    The best baseline is trained there, too, for comparison."""
    optuna_storage: str | None = None
    """URL of the study's database, such as postgresql://user@host/db.
    Default: the variable TUNE_OPTUNA_STORAGE, or else optuna.db in the run directory.
    Put a URL with a password into the variable.
    Other users can read arguments until Python has started, and the shell's history keeps them.
    A password is never recorded, so --resume needs the variable or the flag again."""
    no_dashboard: bool = False
    """Do not start the Ray dashboard."""
    tensorboard: bool = False
    """Write each trial's metrics and settings for TensorBoard, too.
    They are in the run directory's folder tensorboard."""
    quiet: bool = False
    """Print the summary only."""
    warm_start: tuple[str, ...] = ()
    """Earlier runs whose best settings are tried first: folders, or names under --storage-path."""
    audit: float = 0.0
    """Fraction of would-be-stopped trials that run to completion anyway, such as 0.1.
    They show what early stopping costs."""
    target: float | None = None
    """End the search as soon as one configuration reaches this value on every fresh seed.
    It is a value of the goal's metric, which is not always the metric that the search optimizes."""
    ablation: bool = False
    """After the search, change the hand-tuned settings into the best ones step by step.
    Every step is trained on three seeds."""
    set: tuple[str, ...] = ()
    """Changes to the search space, separated by spaces.
    NAME=LOW..HIGH:log is a range, such as lr=1e-4..1e-1:log (also :linear and :step=S).
    NAME=V is a fixed value, and NAME=A,B,C are choices."""
    space_file: str | None = None
    """TOML or YAML file with changes to the search space.
    An entry in TOML: lr = {low = 1e-4, high = 0.1, log = true}.
    If --set changes the same parameter, --set is used."""
    train: tuple[str, ...] = ()
    """Train one configuration and search nothing.
    Give a file, a run's best/config.json or a trial's trial.json (which has the seed too).
    Or give NAME=VALUE for every parameter of the space.
    Here, --seed is the seed of the training itself."""
    in_process: bool = False
    """With --train: train in this process on the CPU, without Ray.
    A debugger then stops in the training."""

    experiment: ClassVar[str]
    """Which training this is; the first part of a run's default name."""
    changeable: ClassVar[tuple[str, ...]] = ()
    """The script's own options that may change when a run is resumed."""
    paths: ClassVar[tuple[str, ...]] = ("storage_path", "warm_start", "space_file")
    """Options that are paths, in which ``~`` is expanded, or URIs."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            several = isinstance(value, tuple)
            texts = value if several else (value,) if isinstance(value, str) else ()
            for text in texts:
                _check_text(field.name, text)
            if field.name in self.paths and texts:
                texts = tuple(user_place(flag(field.name), text) for text in texts)
                object.__setattr__(self, field.name, texts if several else texts[0])
        if self.optuna_storage is not None:  # the real URL is ``reveal(options.optuna_storage)``
            _, hidden = hide_arguments(["--optuna-storage", self.optuna_storage])
            object.__setattr__(self, "optuna_storage", hidden)
        self.check_range("num_samples", 1, MAX_SAMPLES)
        self.check_range("max_concurrent", 0, MAX_SAMPLES)
        self.check_range("seed", 0, MAX_TRAINING_SEED if self.train else 2**31 - 1)
        self.check_range("confirm", 0, 1000)
        self.check_range("finalists", 1, 1000)
        self.check_range("audit", 0, 1)
        self.check_range("seeds_per_trial", 1, MAX_SAMPLES // self.num_samples)
        for condition, rule, *got in self._rules():
            _require(condition, rule, *got)

    def check_range(self, field: str, low: int, high: int) -> None:
        """Raise UsageError unless the option is None or a number from ``low`` to ``high``."""
        value = getattr(self, field)
        if value is not None:
            _require(low <= value <= high, f"{flag(field)} must be {low:,} to {high:,}", value)

    def _rules(self) -> Iterator[tuple[object, ...]]:
        """What must hold, the rule in words, and the value if the message repeats it."""
        gpus, cpus, pbt = self.gpus_per_trial, self.cpus_per_trial, self.synchronous
        yield 0 <= gpus < math.inf, "--gpus-per-trial must be 0 or more", gpus
        yield (
            gpus <= 1 or gpus == int(gpus),
            "--gpus-per-trial above 1 must be a whole number",
            gpus,
        )
        yield 0 < cpus < math.inf, "--cpus-per-trial must be above 0", cpus
        for name, amount in (("--cpus-per-trial", cpus), ("--gpus-per-trial", gpus)):
            decimals = f"{name} may have at most 4 decimals (Ray counts in 0.0001)"
            yield round(amount, 4) == amount, decimals, amount
        population = "--scheduler pbt needs a population: --num-samples must be at least 2"
        yield self.num_samples > 1 or not pbt, population, self.num_samples
        folder = self.storage_path
        is_utf8 = not re.search(r"[\ud800-\udfff]", str(Path(folder).absolute()))
        yield is_utf8, "--storage-path must be UTF-8 in a UTF-8 locale (LC_ALL=C.UTF-8)", folder
        named = "--resume-or-start needs a --name: the run to continue"
        yield self.name or not self.resume_or_start, named
        needs = "--audit needs --scheduler asha or hyperband"
        yield self.scheduler in RUNGS or not self.audit, needs, self.scheduler
        several = self.seeds_per_trial > 1
        search_only = (("--ablation", self.ablation), ("--target", self.target))
        for name, given in (*search_only, ("--seeds-per-trial", several)):
            both = f"{name} cannot be used with --scheduler pbt: leave one of them out"
            yield not (pbt and given), both
        if self.target is not None:
            seeds = "--target needs confirmation seeds: --confirm must be above 0"
            yield self.confirm > 0, seeds, self.confirm
            yield 0 < self.target < math.inf, "--target must be above 0 and finite", self.target
        for field in ("resume", "train", "in_process"):
            alone = f"--probe-gpu measures new trials in Ray: leave out {flag(field)}"
            yield not (self.probe_gpu and getattr(self, field)), alone
        yield self.train or not self.in_process, "--in-process needs --train: it runs one training"
        for field in ("address", "gpus_per_trial", "time_budget"):
            own = f"{flag(field)} needs Ray, which --in-process does without: leave out one of them"
            yield not (self.in_process and getattr(self, field)), own
        yield from self._rules_of_text()

    def _rules_of_text(self) -> Iterator[tuple[object, ...]]:
        """The same for the name and the time."""
        if self.name is not None:
            plain = (
                "--name takes letters, digits, '.', '_' and '-', starting with a letter or digit"
            )
            yield re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", self.name), plain, self.name
            length = len(self.name)
            yield length <= MAX_NAME, f"--name may have {MAX_NAME} characters", length
        if self.time_budget is not None:
            budget, days = self.time_budget, f"--time-budget may be {MAX_DAYS:,} days at most"
            yield seconds(budget), "--time-budget takes a time such as 90s, 30m or 2h", budget
            yield seconds(budget) <= MAX_DAYS * 86400, days, budget

    @property
    def synchronous(self) -> bool:
        """Whether all trials train together and wait for one another: population based training."""
        return self.scheduler == "pbt"

    def run_path(self) -> Path:
        """The run directory under --storage-path, named by --name or by experiment and time."""
        name = self.name or f"{self.experiment}-{time.strftime('%Y%m%d-%H%M%S')}"
        return self.runs / name

    @property
    def runs(self) -> Path:
        """The folder of run directories on this machine. For a URI it is in the user's cache."""
        place = self.storage_path
        return copy_of(place, "searches") if is_uri(place) else Path(place).absolute()

    def searched(self, space: "SearchSpace") -> "SearchSpace":
        """``space`` with the changes of --set. Raises UsageError if one is impossible."""
        from search_spaces.overrides import override
        from search_spaces.set_syntax import parse_overrides

        options = [field.name for field in dataclasses.fields(self)]
        return override(space, parse_overrides(self.set), options)


def flag(field: str) -> str:
    """The command-line flag of an option."""
    return "--" + field.replace("_", "-")


def seconds(time: str) -> float:
    """A time such as 90, 90s, 30m, 2h or 1d in seconds; 0 if it cannot be read."""
    match = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]+)?)([smhd]?)", time.strip())
    units = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
    return float(match[1]) * units[match[2]] if match else 0.0


def check_objectives(objectives: tuple[str, ...], sampler: Sampler) -> None:
    """Raise UsageError if a metric is named twice, or if the sampler cannot optimize several."""
    distinct = len(set(objectives)) == len(objectives)
    _require(distinct, "--objectives takes each metric once", " ".join(objectives))
    one = "--sampler cmaes optimizes one metric only: name one of --objectives, or another sampler"
    _require(len(objectives) < 2 or sampler != "cmaes", one)


def _check_text(field: str, text: str) -> None:
    """Refuse text that no path, name or address can be: empty, not printable, or endless."""
    name = flag(field)
    _require(field == "set" or text.strip(), f"{name} must not be empty", repr(text))
    _require(text.isprintable(), f"{name} must be printable text, on one line", ascii(text))
    fits = len(text) <= MAX_TEXT or field in ("set", "train")
    _require(fits, f"{name} may have {MAX_TEXT:,} characters at most", f"{len(text):,}")


def _require(condition: object, rule: object, *got: object) -> None:
    """Raise UsageError unless the condition holds: the rule, and what was given, cut to a line."""
    if condition:
        return
    shown = [
        f"a number above 1e{MAX_SHOWN}"
        if isinstance(value, int) and abs(value) >= 10**MAX_SHOWN
        else str(value)
        for value in got
    ]
    cut = [text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…" for text in shown]
    raise UsageError(", got ".join([str(rule), *cut]))
