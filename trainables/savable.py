"""What a checkpoint can hold: whatever ``torch.load(weights_only=True)`` reads back."""

import io
from collections.abc import Mapping
from typing import Any

import torch


def cannot_be_read(state: Mapping[str, Any]) -> dict[str, str]:
    """The types of the entries that a checkpoint cannot hold, by their names."""
    found = {}
    for name, value in state.items():
        try:
            content = io.BytesIO()
            torch.save(value, content)
            content.seek(0)
            torch.load(content, weights_only=True)
        except Exception:  # what cannot be pickled can raise anything
            found[name] = f"{type(value).__module__}.{type(value).__qualname__}"
    return found
