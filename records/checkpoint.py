"""Whose a checkpoint is: the identity written into ``model.safetensors`` and ``state.pt``, and read
without torch.

A checkpoint goes on with one trial only: the number, the seed and the settings must be that trial's
own. The identity also says after which training step the weights were saved, so that no weights are
exported beside another step's figures.
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
"""Raised whenever an older version could not go on from a newer checkpoint, or the reverse."""

BOOKKEEPING_KEYS = ("trial", "seed", "baseline", "restore_from", "lost")
"""Entries of a config that say which trial it belongs to. All others are settings."""

MAY_GROW = ("max_steps",)
"""Settings of which a trial may be given more after it has begun."""

METADATA_KEY = "identity"
"""One entry, since safetensors writes several in no fixed order: the same weights then make the same file."""

LONGEST_HEADER = 10_000_000


def settings_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config without its ``BOOKKEEPING_KEYS``."""
    return {name: value for name, value in config.items() if name not in BOOKKEEPING_KEYS}


def identity(config: Mapping[str, Any]) -> dict[str, str]:
    """Whose a checkpoint of the trial with this config is: format, trial number, seed, and a digest of the settings."""
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
    """The identity of a checkpoint, with the ``step`` at which it was saved. None if the file is missing, cut or foreign."""
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
