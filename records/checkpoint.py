"""Whose a checkpoint is: an identity in ``model.safetensors`` and ``state.pt``, read without torch.

A trial goes on from a checkpoint only if the number, the seed and the settings are its own. The
identity also has the training step of the weights, so that no weights are exported with the
metrics of another step.
Source of the file format: https://huggingface.co/docs/safetensors/index#format
"""

import hashlib
import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FORMAT = "1"
"""Raised whenever one version of the project cannot go on from a checkpoint of another."""

BOOKKEEPING_KEYS = (
    "trial", "seed", "seeds_per_trial", "first_seed_until", "baseline", "restore_from", "lost",
)  # fmt: skip
"""Entries of a config that say which trial it belongs to, and on which seeds it trains. All others
are settings."""

MAY_GROW = ("max_steps",)
"""Settings that may be raised after a trial has begun."""

METADATA_KEY = "identity"
"""The only entry: safetensors writes several in no fixed order, so equal files would differ."""

LONGEST_HEADER = 10_000_000


def settings_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config without its ``BOOKKEEPING_KEYS``."""
    return {name: value for name, value in config.items() if name not in BOOKKEEPING_KEYS}


def identity(config: Mapping[str, Any]) -> dict[str, str]:
    """Whose a checkpoint is: format, trial number, seed and a digest of the trial's settings."""
    settings = {name: value for name, value in settings_of(config).items() if name not in MAY_GROW}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    return {
        "format": FORMAT,
        "trial": str(config.get("trial")),
        "seed": str(config["seed"]),
        "settings": digest,
    }


def metadata(saved: Mapping[str, str]) -> dict[str, str]:
    """An identity as the metadata of a safetensors file."""
    return {METADATA_KEY: json.dumps(saved, sort_keys=True)}


def read_identity(folder: Path) -> dict[str, str] | None:
    """A checkpoint's identity and ``step``; None if the file is missing, cut off or foreign."""
    try:
        with (folder / "model.safetensors").open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(min(length, LONGEST_HEADER)))
            size = os.fstat(file.fileno()).st_size
        found = json.loads(header.pop("__metadata__")[METADATA_KEY])
        whole = size == 8 + length + max(tensor["data_offsets"][1] for tensor in header.values())
        return found if whole and found["step"].isdigit() and found["format"] else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error, RecursionError):
        return None
