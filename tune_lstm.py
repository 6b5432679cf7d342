"""Search the settings with which an LSTM (or a vanilla RNN) remembers the first digit of a palindrome to its end.

python tune_lstm.py --num-samples 50 --gpus-per-trial 0.5
"""

import sys
from dataclasses import dataclass
from typing import ClassVar, Literal

from command_line import BadOptions
from tuning.options import SearchOptions, parse


@dataclass(frozen=True, kw_only=True)
class LSTMOptions(SearchOptions):
    """Search the settings with which an LSTM (or a vanilla RNN) remembers the first digit of a palindrome to its end."""

    experiment: ClassVar[str] = "lstm"

    input_length: int = 20
    """T: how many digits are read before the first one must be named."""
    model: Literal["lstm", "rnn"] = "lstm"
    """The LSTM, or the vanilla RNN to set beside it."""
    space: Literal["core"] = "core"
    """What is varied: lr and max_norm around the coursework's model (for the RNN its ExponentialLR too)."""
    max_steps: int = 10_000
    """Training steps of a trial at most; one that has converged ends sooner by itself."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.input_length < 2:
            raise BadOptions(f"--input-length must be at least 2, got {self.input_length}")
        if self.max_steps < 1:
            raise BadOptions(f"--max-steps must be at least 1, got {self.max_steps}")
        if self.scheduler == "pbt":
            raise BadOptions("--scheduler pbt is for tune_gan.py: take asha, hyperband or none")


def main() -> int:
    options = parse(LSTMOptions)
    from search_spaces.lstm import SPACES
    from trainables.lstm.trainable import LSTMTrial
    from tuning.experiment import Experiment, Goal, Objective, Rungs
    from tuning.search import Search

    experiment = Experiment(
        trainable=LSTMTrial,
        space=SPACES[options.model, options.space],
        settings={
            "model": options.model,
            "input_length": options.input_length,
            "max_steps": options.max_steps,
        },
        objectives=(Objective("mean_accuracy", "max"),),
        shown=("accuracy", "mean_accuracy"),
        rungs=Rungs(grace_steps=500, reduction_factor=3),  # measured: docs/decisions/early-stopping.md
        goal=Goal("test_accuracy", "least", 0.99),
    )
    return Search(options, experiment).run()


if __name__ == "__main__":
    sys.exit(main())
