"""Numbers and settings as the console prints them."""

from collections.abc import Mapping
from typing import Any


def metric_words(value: float | None) -> str:
    """A metric's value: four decimals below 10, where accuracies and fractions lie, else one; a
    dash if there is none."""
    if value is None:
        return "—"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:,.1f}"


def settings_words(settings: Mapping[str, Any]) -> str:
    """Settings as ``lr=0.0123 max_norm=0.01``, with three significant digits."""
    return " ".join(
        f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in settings.items()
    )


def duration(seconds: float) -> str:
    """A time as a person says it: 40 s, 3 min, 2.5 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
