"""A curriculum of lengths within a trial: palindromes grow each time the network masters them.

A network that starts with long palindromes sees no trace of the first digit in its gradient for
thousands of steps. A network that starts with five digits learns in a hundred steps to keep the
first one, and still keeps it while the delay grows.
Source: Bengio et al. 2009, Curriculum learning, https://doi.org/10.1145/1553374.1553380
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

CHECK_EVERY = 10
"""Training batches over which accuracy is averaged before each decision."""
SOLVED = 0.99
"""Training accuracy at the whole length that counts as solved, for schedules that wait for it."""


@dataclass
class Curriculum:
    """The length trained on now, from ``length`` at the start to ``longest``.

    If the mean accuracy of ``CHECK_EVERY`` batches is at least ``threshold``, the length is
    multiplied by ``growth`` (rounded, and at least one more).

    Attributes:
        solved: Whether that accuracy has ever been ``SOLVED`` at the longest length.
    """

    length: int
    longest: int
    growth: float
    threshold: float
    solved: bool = False
    accuracies: list[Tensor] = field(default_factory=list)

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Curriculum":
        """The curriculum that a trial's config asks for; ``none`` starts at the whole length."""
        longest = int(config["input_length"])
        if config["curriculum"] == "none":
            return cls(longest, longest, growth=1.0, threshold=1.0)
        start, growth = int(config["start_length"]), float(config["length_growth"])
        return cls(min(start, longest), longest, growth, float(config["length_threshold"]))

    def see(self, accuracy: Tensor) -> None:
        """Take note of a batch's accuracy, and grow if it is time."""
        self.accuracies.append(accuracy)
        if len(self.accuracies) < CHECK_EVERY:
            return
        mean = sum(float(one) for one in self.accuracies) / CHECK_EVERY
        self.accuracies = []
        if self.length == self.longest:
            self.solved |= mean >= SOLVED
        elif mean >= self.threshold:
            longer = max(self.length + 1, round(self.length * self.growth))
            self.length = min(self.longest, longer)

    def state_dict(self) -> dict[str, Any]:
        return {"length": self.length, "solved": self.solved, "accuracies": self.accuracies}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.length, self.solved = state["length"], state["solved"]
        self.accuracies = list(state["accuracies"])
