"""Checkpoints as a trial writes them, without a training."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from records.checkpoint import identity, metadata


def write_checkpoint(folder: Path, config: Mapping[str, Any], step: int, state: str = "") -> Path:
    """A checkpoint with one weight, after ``step`` steps; ``state`` is the content of state.pt."""
    folder.mkdir(parents=True, exist_ok=True)
    saved = metadata({**identity(config), "step": str(step)})
    save_file({"weight": torch.full((1,), float(step))}, folder / "model.safetensors", saved)
    (folder / "state.pt").write_text(state, encoding="utf-8")
    return folder
