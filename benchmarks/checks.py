"""How often the checks of a run raise a false alarm, and how often they see what is there.

    python -m benchmarks.checks                 # 200 searches of each kind
    python -m benchmarks.checks --repeats 40

Each row of the table is a check, a made search without a fault (its alarms are false) and one with
a planted fault (its alarms are right). A made search has 50 trials whose settings a real sampler
draws; only the objective is made up. Nothing is trained. Half of the trials are stopped at the
first rung, as ASHA would.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import distribution_to_json
from rich.console import Console
from rich.progress import track
from rich.table import Table

from command_line import UsageError, read_arguments, run_script
from records.checks import CHECKS
from records.checks.check import Check, between
from records.checks.statistics import fraction_interval
from records.finished_trial import FinishedTrial
from records.objective import Goal, Objective
from records.outcome import BUDGET, STOPPED_EARLY
from records.run import Run
from search_spaces import SearchSpace
from search_spaces.gan import SPACES as GAN
from search_spaces.lstm import SPACES as LSTM
from search_spaces.unit_scale import place
from tune_lstm import LSTMOptions
from tuning.engine.samplers import create_sampler, suggest
from tuning.engine.start_up import STARTUP_TRIALS
from tuning.engine.tuner import set_up_libraries

TRIALS = 50
RUNGS = (100, 300)
COSTS = (*RUNGS, 900)
METRIC = "mean_accuracy"

Places = Mapping[str, float]
"""A trial's settings, each by its place in its range, from 0 to 1."""
Metric = Callable[[Places, int], float]
"""The expected metric of settings at the first, second, third of ``COSTS``."""
Random = np.random.Generator


@dataclass(frozen=True)
class Options:
    """Measure how often the checks are wrong, and how often they see what is there."""

    repeats: int = 200
    """Made searches for each number."""

    def __post_init__(self) -> None:
        if self.repeats < 1:
            raise UsageError(f"--repeats must be at least 1, got {self.repeats}")


def run_of(space: SearchSpace, trials: list[FinishedTrial], **options: Any) -> Run:
    """A run of these trials, as a report would read it."""
    search = {
        "space": {
            name: {
                "distribution": distribution_to_json(one.distribution),
                "reason": one.reason,
                "only_if": one.only_if,
            }
            for name, one in space.parameters.items()
        },
        "objectives": [asdict(Objective(METRIC, "max"))],
        "goal": asdict(Goal("test_accuracy", "least", 0.99)),
        "rungs": RUNGS,
        "startup_trials": STARTUP_TRIALS,
        "options": options,
        "sessions": [{"command": "python tune_lstm.py", "started": 0.0}],
    }
    run = Run(Path("a made run"), search)
    run.finished = trials
    return run


def trial(number: int, settings: dict[str, Any], values: list[float], **own: Any) -> FinishedTrial:
    """A trial that reported ``values`` at the first of ``COSTS``."""
    complete = len(values) == len(COSTS)
    return FinishedTrial(
        number=number,
        config={**settings, **own},
        started=0.0,
        settings=settings,
        ended=(BUDGET if complete else STOPPED_EARLY).name,
        error=None,
        last={"step": COSTS[len(values) - 1], METRIC: values[-1], "test_accuracy": values[-1]},
        curve=np.array([[cost, -value] for cost, value in zip(COSTS, values, strict=False)]),
        loss=-values[-1],
        audited=None,
    )


def searched(
    space: SearchSpace, metric: Metric, draws: Random, sampler: str = "tpe", noise: float = 1.0
) -> Run:
    """A search in which each report is ``metric`` and normal ``noise``."""
    options = LSTMOptions(sampler=sampler, seed=int(draws.integers(2**31)))  # type: ignore[arg-type]
    study = optuna.create_study(direction="maximize")
    trials: list[FinishedTrial] = []
    for number in range(TRIALS):
        kind = "random" if number < STARTUP_TRIALS else sampler
        study.sampler = create_sampler(replace(options, sampler=kind), space, number)  # type: ignore[arg-type]
        asked = study.ask()
        settings = space.choose(partial(suggest, asked))
        places = {
            name: float(found)
            for name, value in settings.items()
            if (found := place(value, space.parameters[name].distribution)) is not None
        }
        values = [metric(places, rung) + noise * draws.normal() for rung in range(len(COSTS))]
        first = [-one.curve[0, 1] for one in trials]
        if first and values[0] < np.median(first):
            values = values[:1]
        study.tell(asked, values[-1])
        trials.append(trial(number, settings, values))
    return run_of(space, trials, sampler=sampler)


def nothing(places: Places, rung: int) -> float:
    """A metric that no setting changes."""
    return 0.0


def rising(places: Places, rung: int) -> float:
    """The larger lr, the better: the best lies beyond its range."""
    return 5 * places["lr"]


def one_optimum(places: Places, rung: int) -> float:
    """The best lies inside lr's range, at every rung."""
    return -10 * abs(places["lr"] - 0.6)


def late_lr(places: Places, rung: int) -> float:
    """At the first rung max_norm decides, later lr."""
    return 10 * (places["max_norm"] if rung == 0 else places["lr"])


def confirmed(draws: Random, seeds: int, selected_from: int, flat: bool = False) -> Run:
    """A winner of ``selected_from`` trials with equal settings, trained on fresh ``seeds``.

    ``flat``: the metric has an upper bound that most trainings come close to, as accuracy has.
    """

    def value() -> float:
        return 1 - float(draws.gamma(0.7, 0.01)) if flat else float(draws.normal(0.9, 0.02))

    best = max(value() for _ in range(selected_from))
    run = run_of(LSTM["lstm", "core"], [trial(0, {"lr": 0.01}, [best] * 3)])
    fresh = {
        seed: trial(seed, {"lr": 0.01}, [value()] * 3, confirms=0, seed=seed)
        for seed in range(seeds)
    }
    run.on_fresh_seeds = {0: fresh}
    return run


def with_seeds(draws: Random, settings_sd: float, trials: int = 15, seeds: int = 3) -> Run:
    """Trials of several ``seeds``, which differ by 1; their settings differ by ``settings_sd``."""
    made = []
    for number in range(trials):
        level = settings_sd * draws.normal()
        values = tuple(float(level + draws.normal()) for _ in range(seeds))
        made.append(replace(trial(number, {"lr": 0.01}, [min(values)] * 3), by_seed=values))
    return run_of(LSTM["lstm", "core"], made)


def reaching(draws: Random, seeds: int, fraction: float) -> Run:
    """A winner whose fresh ``seeds`` reach the goal with the probability ``fraction``."""
    run = run_of(LSTM["lstm", "core"], [trial(0, {"lr": 0.01}, [1.0] * 3)])
    values = [1.0 if draws.random() < fraction else 0.5 for _ in range(seeds)]
    run.on_fresh_seeds = {0: {seed: trial(seed, {}, [one] * 3) for seed, one in enumerate(values)}}
    return run


def changed(draws: Random, effects: tuple[float, ...]) -> Run:
    """A path whose changes have ``effects``, in standard deviations of a seed."""
    run = run_of(LSTM["lstm", "core"], [trial(0, {"lr": 0.01}, [9.0] * 3)])
    levels = np.cumsum([0.0, *effects])
    path: list[FinishedTrial] = []
    for stage, level in enumerate(levels):
        for seed in range(3):
            own = {"ablation": stage, "changed": f"change {stage}" if stage else (), "seed": seed}
            path.append(trial(len(path), {}, [level + draws.normal()] * 3, **own))
    run.ablations = path
    return run


def audited(draws: Random, told_early: bool, count: int = 15) -> Run:
    """A search of which ``count`` trials were let run on instead of stopped."""
    trials = []
    for number in range(TRIALS):
        first = float(draws.normal())
        values = [first, first, first if told_early else float(draws.normal())]
        trials.append(trial(number, {"lr": 0.01}, values))
    by_first = sorted(trials, key=lambda one: one.curve[0, 1])
    poorer = by_first[TRIALS // 2 :]
    let_run = {one.number for one in draws.choice(np.array(poorer, dtype=object), count, False)}
    for one in poorer:
        if one.number in let_run:
            trials[one.number] = replace(one, audited=float(RUNGS[0]))
        else:
            trials[one.number] = trial(one.number, one.settings, [-one.curve[0, 1]])
    return run_of(LSTM["lstm", "core"], trials)


@dataclass(frozen=True)
class Case:
    """A made search, the check that looks at it, and the statuses that are an alarm."""

    code: str
    made: str
    make: Callable[[Random], Run]
    alarm: tuple[str, ...] = ("issue", "tip")

    def raised(self, repeats: int) -> int:
        """In how many of the ``repeats`` the alarm was raised."""
        answers = (self.answer(seed) for seed in range(repeats))
        return sum(one.status in self.alarm for one in answers)

    def answer(self, seed: int) -> Check:
        """The check's answer on the search with this seed."""
        return CHECKS[self.code](self.make(np.random.default_rng(seed)))


CORE, EXTENDED, GANS = LSTM["lstm", "core"], LSTM["lstm", "extended"], GAN["extended"]
SAYS = ("passed", "tip")

SOUND = (
    Case("SEED01", "each seed reaches the goal", lambda d: reaching(d, 5, 1.0)),
    Case("SEED02", "nothing selected, normal", lambda d: confirmed(d, 5, 1)),
    Case("SEED02", "nothing selected, close to 1", lambda d: confirmed(d, 5, 1, flat=True)),
    Case("SEED03", "settings alike", lambda d: with_seeds(d, 0.0), ("passed",)),
    Case("EDGE02", "noise, LSTM core", lambda d: searched(CORE, nothing, d)),
    Case("EDGE02", "noise, LSTM extended", lambda d: searched(EXTENDED, nothing, d)),
    Case("EDGE02", "noise, GAN extended", lambda d: searched(GANS, nothing, d)),
    Case("EDGE02", "noise, random search", lambda d: searched(GANS, nothing, d, "random")),
    Case("MORE01", "noise", lambda d: searched(CORE, nothing, d), ("passed",)),
    Case("WHAT01", "noise, 2 parameters", lambda d: searched(CORE, nothing, d, "random"), SAYS),
    Case("WHAT01", "noise, 12", lambda d: searched(EXTENDED, nothing, d, "random"), SAYS),
    Case("WHAT02", "noise", lambda d: searched(CORE, nothing, d, "random")),
    Case("WHAT02", "lr decides always", lambda d: searched(CORE, one_optimum, d, "random")),
    Case("PATH01", "no change matters", lambda d: changed(d, (0, 0, 0)), SAYS),
    Case("STOP01", "the first rung tells the end", lambda d: audited(d, told_early=True)),
)
PLANTED = (
    Case("SEED01", "70% of all seeds reach it", lambda d: reaching(d, 5, 0.7)),
    Case("SEED02", "the best of 50 alike", lambda d: confirmed(d, 5, 50)),
    Case("SEED03", "settings differ as seeds do", lambda d: with_seeds(d, 1.0), ("passed",)),
    Case("EDGE02", "the best lr lies beyond", lambda d: searched(CORE, rising, d)),
    Case("EDGE02", "the same, 12 parameters", lambda d: searched(EXTENDED, rising, d)),
    Case("MORE01", "lr decides", lambda d: searched(CORE, one_optimum, d), ("passed",)),
    Case("WHAT01", "lr decides", lambda d: searched(CORE, one_optimum, d, "random"), SAYS),
    Case("WHAT02", "max_norm first, then lr", lambda d: searched(CORE, late_lr, d, "random")),
    Case("PATH01", "one of 3 is worse by 10 sd", lambda d: changed(d, (0, -10, 0)), ("tip",)),
    Case("STOP01", "the first rung tells nothing", lambda d: audited(d, told_early=False)),
)


def table(title: str, cases: tuple[Case, ...], repeats: int) -> Table:
    """How often each case raised its alarm."""
    found = Table(title=title)
    for column in ("check", "made search", "alarms", "95% interval"):
        found.add_column(column)
    for case in track(cases, title, console=Console(stderr=True), transient=True):
        count = case.raised(repeats)
        interval = between(fraction_interval(count, repeats))
        found.add_row(case.code, case.made, f"{count / repeats:.1%}", interval)
    return found


def main() -> None:
    options = read_arguments(Options)
    set_up_libraries()
    console = Console(width=100)
    console.print(table("False alarms: nothing is there", SOUND, options.repeats))
    console.print(table("Right alarms: a fault is planted", PLANTED, options.repeats))


if __name__ == "__main__":
    run_script(main)
