"""Search AdamW's settings with which a small transformer learns addition modulo p from half of all
sums.

python examples/modular_addition/tune.py --num-samples 12
"""

from tuning.interruption import early_exit

if __name__ == "__main__":
    early_exit.install()  # before the imports below, which take a while

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from command_line import UsageError, run_script
from tuning.options import MAX_STEPS, SearchOptions
from tuning.script import search_script

if TYPE_CHECKING:
    from tuning.task import Task


@dataclass(frozen=True, kw_only=True)
class AdditionOptions(SearchOptions):
    """Search AdamW's settings with which a small transformer learns addition modulo p from half of all sums."""

    experiment: ClassVar[str] = "modular_addition"

    num_samples: int = 16
    """Trials to run, the hand-tuned one among them."""
    p: int = 31
    """The modulus: there are p * p sums."""
    max_steps: int = 2_000
    """Training steps of a trial at most, each on the whole training set."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 5 <= self.p <= 113:
            raise UsageError(f"--p must be 5 to 113, got {self.p}")
        if not 1 <= self.max_steps <= MAX_STEPS:
            raise UsageError(f"--max-steps must be 1 to {MAX_STEPS:,}, got {self.max_steps}")


def addition_task(options: AdditionOptions) -> "Task":
    """What the options ask to be searched."""
    from space import SPACE
    from trainable import ModularAdditionTrial

    from records.objective import Goal, Objective
    from tuning.task import Rungs, Task

    return Task(
        trainable=ModularAdditionTrial,
        space=options.searched(SPACE),
        settings={
            "p": options.p,
            "train_fraction": 0.5,
            "max_steps": options.max_steps,
            "report_every": 50,
        },
        objectives=(Objective("mean_accuracy", "max"),),
        console_metrics=("accuracy", "mean_accuracy"),
        rungs=Rungs(grace_steps=options.max_steps // 4, reduction_factor=2),
        goal=Goal("test_accuracy", "least", 0.99 if options.target is None else options.target),
    )


main = search_script(AdditionOptions, addition_task)

if __name__ == "__main__":
    run_script(main)
