"""Search for settings with which an LSTM or an RNN remembers a palindrome's first digit.

python tune_lstm.py --num-samples 50 --gpus-per-trial 0.5
"""

from tuning.interruption import early_exit

if __name__ == "__main__":
    early_exit.install()  # before the imports below, which take a while

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from command_line import UsageError, run_script
from tuning.options import MAX_STEPS, SearchOptions, check_objectives
from tuning.script import search_script

if TYPE_CHECKING:
    from records.objective import Objective
    from tuning.task import Task

Metric = Literal["mean_accuracy", "log_work", "accuracy", "steps_to_converge"]


@dataclass(frozen=True, kw_only=True)
class LSTMOptions(SearchOptions):
    """Search for settings with which an LSTM or an RNN remembers a palindrome's first digit."""

    experiment: ClassVar[str] = "lstm"

    input_length: int = 20
    """T: the number of digits that the network reads before it must name the first one."""
    model: Literal["lstm", "rnn"] = "lstm"
    """The network: the LSTM, or a vanilla RNN for comparison."""
    space: Literal["core", "extended"] = "core"
    """core: lr and max_norm of the coursework's model, for the RNN also its ExponentialLR.
    extended: also initialisation, input encoding, optimizer, learning-rate schedule,
    weight averaging, batch size and a curriculum of lengths."""
    max_steps: int = 10_000
    """Maximum number of training steps of a trial. A trial that has converged ends earlier."""
    objectives: tuple[Metric, ...] = ()
    """Metrics to optimize. Early stopping uses the first; several give their Pareto front.
    Default: mean_accuracy in the core space, log_work in the extended space.
    log_work is log10 of the time steps until convergence."""

    target: float | None = None
    """End the search as soon as one configuration reaches this test accuracy on every fresh seed.
    Default: the search goes on, and its goal is 0.99."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.input_length < 2:
            raise UsageError(f"--input-length must be at least 2, got {self.input_length}")
        self.check_range("max_steps", 1, MAX_STEPS)
        check_objectives(self.objectives, self.sampler)
        if self.target is not None and self.target > 1:
            raise UsageError(
                f"--target is a test accuracy here: it must be 1 at most, got {self.target:g}"
            )
        if self.objectives[:1] == ("steps_to_converge",) and self.scheduler != "none":
            raise UsageError(
                "--objectives steps_to_converge cannot decide which trials stop early:"
                " name another metric first, or add --scheduler none"
            )


def _objective(name: str, max_steps: int) -> "Objective":
    from records.objective import Objective

    larger = name in ("mean_accuracy", "accuracy")
    default = max_steps if name == "steps_to_converge" else None
    return Objective(name, "max" if larger else "min", default)


def lstm_task(options: LSTMOptions) -> "Task":
    """The search that the options ask for."""
    from records.objective import Goal
    from search_spaces.lstm import SPACES
    from trainables.lstm.demand import demand
    from trainables.lstm.palindromes import NUM_DIGITS
    from trainables.lstm.trainable import LSTMTrial
    from trainables.resumable import REPORT_EVERY
    from tuning.task import Rungs, Task

    extended = options.space == "extended"
    length, max_steps = options.input_length, options.max_steps
    objectives = options.objectives or ("log_work" if extended else "mean_accuracy",)
    least = 0.99 if options.target is None else options.target
    return Task(
        trainable=LSTMTrial,
        space=options.searched(SPACES[options.model, options.space]),
        settings={
            "model": options.model,
            "input_length": length,
            "max_steps": max_steps,
            # Training steps of the whole length between two reports
            "report_every": min(max(10, 1000 // length), 20) if extended else REPORT_EVERY,
            **({"first_report": 5 * length} if extended else {}),  # in units of work
        },
        objectives=tuple(_objective(name, max_steps) for name in objectives),
        console_metrics=tuple(dict.fromkeys(("accuracy", *objectives))),
        goal=Goal("test_accuracy", "least", least, chance=1 / NUM_DIGITS),
        # Measured: docs/decisions/early-stopping.md and search-efficiency.md
        rungs=Rungs(grace_steps=(5 * length) if extended else 500, reduction_factor=3),
        time_attr="work" if extended else "step",
        max_t=max_steps * length if extended else max_steps,
        protect_baselines=not extended,
        checkpoint_every=20 if extended else 5,
        demand=demand,
    )


main = search_script(LSTMOptions, lstm_task)

if __name__ == "__main__":
    run_script(main)
