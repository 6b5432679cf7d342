"""A length curriculum inside a trial: short palindromes first, longer ones each time the network
has the present ones.

A network that starts at a long input length sees no trace of the first digit in its gradient for
thousands of steps. One that starts at five digits learns to latch in a hundred, and keeps latching
while the delay grows.
Source: Bengio et al. 2009, Curriculum learning, https://doi.org/10.1145/1553374.1553380
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

CHECK_EVERY = 10
"""Training batches over which accuracy is averaged before each decision."""
SOLVED = 0.99
"""Training accuracy at the whole length from which on a trial counts as solved, for schedules that wait for it."""


@dataclass
class Curriculum:
    """The length trained on now, from ``length`` at the start up to ``longest``.

    It grows ``growth``-fold, by one at least, where the mean accuracy of ``CHECK_EVERY`` batches
    reaches ``threshold``.

    Attributes:
        solved: Whether that accuracy has once reached ``SOLVED`` at the longest length.
    """

    length: int
    longest: int
    growth: float
    threshold: float
    solved: bool = False
    accuracies: list[Tensor] = field(default_factory=list)

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Curriculum":
        """The curriculum of a trial's config; one that is the whole length from the start where it asks for none."""
        longest = int(config["input_length"])
        if config["curriculum"] == "none":
            return cls(longest, longest, growth=1.0, threshold=1.0)
        start = min(int(config["start_length"]), longest)
        return cls(
            start, longest, float(config["length_growth"]), float(config["length_threshold"])
        )

    def see(self, accuracy: Tensor) -> None:
        """Take note of a batch's accuracy, and grow where it is time to."""
        self.accuracies.append(accuracy)
        if len(self.accuracies) == CHECK_EVERY:
            mean = sum(float(one) for one in self.accuracies) / CHECK_EVERY
            self.accuracies = []
            if self.length < self.longest and mean >= self.threshold:
                self.length = min(
                    self.longest, max(self.length + 1, round(self.length * self.growth))
                )
            elif self.length == self.longest and mean >= SOLVED:
                self.solved = True

    def state_dict(self) -> dict[str, Any]:
        return {"length": self.length, "solved": self.solved, "accuracies": self.accuracies}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.length, self.solved, self.accuracies = (
            state["length"],
            state["solved"],
            list(state["accuracies"]),
        )
