"""A trial's random numbers: a stream of its own for each use, and the generators of Python, numpy,
torch and the GPU that its libraries draw from. A trial starts all from its seed; a checkpoint keeps
their states.
"""

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

STREAMS = ("weights", "train", "evaluation", "test", "samples")
"""A trial's random streams. Drawing from one never shifts another."""


def generator(seed: int, stream: str, device: torch.device) -> torch.Generator:
    """The random generator of one of the trial's ``STREAMS``, on ``device``.

    The streams of one seed and of neighbouring seeds are unrelated, since numpy's SeedSequence
    mixes both numbers.
    """
    mixed = np.random.SeedSequence((seed, STREAMS.index(stream))).generate_state(1, np.uint64)[0]
    return torch.Generator(device).manual_seed(int(mixed >> np.uint64(1)))


def seed_everything(seed: int) -> None:
    """Start the libraries' generators from ``seed``."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def random_states(device: torch.device) -> dict[str, Any]:
    """What a checkpoint keeps of the libraries' generators, in types that
    ``torch.load(weights_only=True)`` reads."""
    name, keys, *rest = np.random.get_state(legacy=True)
    return {
        "python_rng": random.getstate(),
        "numpy_rng": (str(name), torch.from_numpy(np.asarray(keys).astype(np.int64)), *rest),
        "torch_rng": torch.get_rng_state(),
        "cuda_rng": torch.cuda.get_rng_state() if device.type == "cuda" else None,
    }


def set_random_states(states: Mapping[str, Any], device: torch.device) -> None:
    """The reverse of ``random_states``. Earlier checkpoints have no states of Python and numpy."""
    if "python_rng" in states:
        random.setstate(states["python_rng"])
        name, keys, *rest = states["numpy_rng"]
        np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(states["torch_rng"])
    if device.type == "cuda" and states["cuda_rng"] is not None:
        torch.cuda.set_rng_state(states["cuda_rng"])
