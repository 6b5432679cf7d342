"""A stand-in for the file of this name that reads ``--set``: how a parameter's range is widened, as an argument of it."""

from typing import Any, Literal

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution


def widened(name: str, distribution: BaseDistribution, end: Literal["lower", "upper"]) -> str:
    """An argument of ``--set`` with which the range, or the numbers to choose from, go on beyond ``end``.

    Raises ValueError where there is nothing beyond: choices that are not numbers, or a natural lower bound.
    """
    if isinstance(distribution, CategoricalDistribution):
        choices: list[Any] = sorted(distribution.choices, key=lambda choice: float(choice or 0) if _is_number(choice) else 0.0)
        if not all(map(_is_number, choices)) or len(choices) < 2:
            raise ValueError(f"the choices of {name} have no order")
        if end == "lower":
            _above_natural(name, choices[0])
            choices = [choices[0] / 2, *choices]
        else:
            choices = [*choices, type(choices[-1])(2 * choices[-1] - choices[-2])]
        return f"{name}=" + ",".join(f"{choice:g}" for choice in choices)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high = distribution.low, distribution.high
    if end == "lower":
        _above_natural(name, low)
        low = low / 10 if distribution.log else max(0, 2 * low - high)
    else:
        high = high * 10 if distribution.log else 2 * high - low
    return f"{name}={low:g}..{high:g}" + (":log" if distribution.log else "")


def _is_number(choice: object) -> bool:
    return isinstance(choice, int | float) and not isinstance(choice, bool)


def _above_natural(name: str, lowest: float) -> None:
    if lowest <= 0 or (lowest == 1 and isinstance(lowest, int)):
        raise ValueError(f"{name} cannot be below {lowest:g}")
