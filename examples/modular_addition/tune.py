"""The search script: python examples/modular_addition/tune.py --num-samples 12"""

from tuning.interruption import early_exit

if __name__ == "__main__":
    early_exit.install()  # before the imports below, which take a while

from dataclasses import dataclass

from command_line import run_script
from records.objective import Goal, Objective
from tuning.options import MAX_STEPS, SearchOptions
from tuning.script import search_script
from tuning.task import Rungs, Task


@dataclass(frozen=True, kw_only=True)
class AdditionOptions(SearchOptions):
    """Search AdamW's settings with which a small transformer learns addition modulo p."""

    experiment = "modular_addition"
    p: int = 31
    """The modulus: there are p * p sums."""
    max_steps: int = 2_000
    """Maximum number of training steps of a trial, each on the whole training set."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_range("p", 5, 113)
        self.check_range("max_steps", 1, MAX_STEPS)
        self.check_range("target", 0, 1)


def addition_task(options: AdditionOptions) -> Task:
    """The search that the options ask for."""
    from space import SPACE
    from trainable import ModularAdditionTrial

    steps = options.max_steps
    return Task(
        trainable=ModularAdditionTrial,
        space=options.searched(SPACE),
        settings={"p": options.p, "train_fraction": 0.7, "max_steps": steps, "report_every": 50},
        objectives=(Objective("mean_accuracy", "max"),),
        console_metrics=("accuracy", "mean_accuracy"),
        rungs=Rungs(grace_steps=max(1, steps // 4), reduction_factor=2),
        goal=Goal(
            "test_accuracy",
            "least",
            bound=0.95 if options.target is None else options.target,
            chance=1 / options.p,
        ),
    )


if __name__ == "__main__":
    run_script(search_script(AdditionOptions, addition_task))
