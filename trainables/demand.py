"""What one trial needs of its machine, by a formula of each training.

A search asks before it starts, with the largest settings of its space. If one trial's network is
larger than the machine's memory, the search is refused in one line; otherwise the kernel would
kill it hours later.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Demand:
    """Bytes that a trial needs.

    Attributes:
        memory: On its device: weights, gradients, the optimizer's state, and what a training step
            or an evaluation keeps.
        checkpoint: On disk, for one checkpoint.
    """

    memory: float
    checkpoint: float
