"""What one trial needs of the machine that it runs on: the answer of each training's own formula.

A search asks before it starts, with the largest settings that its space can give. A trial whose
network alone is larger than the machine's memory is then refused in a line, and not by the kernel
in the middle of the night.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Demand:
    """Bytes of a trial.

    Attributes:
        memory: On its device: weights, gradients, the optimizer's state, and what a training step
            or an evaluation keeps.
        checkpoint: On disk, for one checkpoint.
    """

    memory: float
    checkpoint: float
