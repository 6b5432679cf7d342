"""Search the settings with which an LSTM (or a vanilla RNN) remembers the first digit of a
palindrome to its end.

python tune_lstm.py --num-samples 50 --gpus-per-trial 0.5
"""

from tuning.interruption import early_exit

if __name__ == "__main__":
    early_exit.install()  # before the imports below, which take a while

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from command_line import UsageError, run_script
from tuning.options import MAX_STEPS, SearchOptions
from tuning.script import search_script

if TYPE_CHECKING:
    from tuning.task import Task

Figure = Literal["mean_accuracy", "log_work", "accuracy", "steps_to_converge"]

SPARSEST, DENSEST = 20, 10
"""Most and least training steps of the whole length between two reports in the extended space."""


@dataclass(frozen=True, kw_only=True)
class LSTMOptions(SearchOptions):
    """Search the settings with which an LSTM (or a vanilla RNN) remembers the first digit of a palindrome to its end."""

    experiment: ClassVar[str] = "lstm"

    input_length: int = 20
    """T: the number of digits to read before the first one must be named."""
    model: Literal["lstm", "rnn"] = "lstm"
    """The LSTM, or a vanilla RNN to compare it with."""
    space: Literal["core", "extended"] = "core"
    """core: search lr and max_norm around the coursework's model (for the RNN also its
    ExponentialLR). extended: search also the initialisation, the input encoding, the optimizer, its
    schedule, weight averaging, the batch size and a curriculum."""
    max_steps: int = 10_000
    """Maximum number of training steps of a trial. A trial that has converged ends earlier."""
    objectives: tuple[Figure, ...] = ()
    """Metrics to optimize. Early stopping uses the first; several give their Pareto front. Default:
    mean_accuracy in the core space, log_work (log10 of the time steps until convergence) in the
    extended one."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.input_length < 2:
            raise UsageError(f"--input-length must be at least 2, got {self.input_length}")
        if not 1 <= self.max_steps <= MAX_STEPS:
            raise UsageError(f"--max-steps must be 1 to {MAX_STEPS:,}, got {self.max_steps}")
        if self.target is not None and self.target > 1:
            raise UsageError(
                f"--target is a test accuracy here: it must be 1 at most, got {self.target:g}"
            )
        if len(set(self.objectives)) < len(self.objectives):
            raise UsageError(
                f"--objectives takes each figure once, got {' '.join(self.objectives)}"
            )
        if len(self.objectives) > 1 and self.sampler == "cmaes":
            raise UsageError(
                "--sampler cmaes optimizes one figure only: name one of --objectives, or another sampler"
            )
        if self.objectives[:1] == ("steps_to_converge",) and self.scheduler != "none":
            raise UsageError(
                "--objectives: early stopping goes by the first figure, which steps_to_converge cannot be"
            )
        if self.synchronous:
            raise UsageError("--scheduler pbt is for tune_gan.py: take asha, hyperband or none")


def lstm_task(options: LSTMOptions) -> "Task":
    """What the options ask to be searched."""
    from records.objective import Goal, Objective
    from search_spaces.lstm import SPACES
    from trainables.lstm.demand import demand
    from trainables.lstm.trainable import LSTMTrial
    from trainables.resumable import REPORT_EVERY
    from tuning.task import Rungs, Task

    extended = options.space == "extended"
    length, max_steps = options.input_length, options.max_steps
    objectives = options.objectives or ("log_work" if extended else "mean_accuracy",)
    return Task(
        trainable=LSTMTrial,
        space=options.searched(SPACES[options.model, options.space]),
        settings={
            "model": options.model,
            "input_length": length,
            "max_steps": max_steps,
            "report_every": max(DENSEST, min(SPARSEST, 1000 // length))
            if extended
            else REPORT_EVERY,
        },
        objectives=tuple(
            Objective(
                name,
                "max" if name in ("mean_accuracy", "accuracy") else "min",
                default=max_steps if name == "steps_to_converge" else None,
            )
            for name in objectives
        ),
        console_metrics=tuple(dict.fromkeys(("accuracy", *objectives))),
        goal=Goal("test_accuracy", "least", 0.99 if options.target is None else options.target),
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
