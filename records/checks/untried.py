"""SPACE: is there a choice of which the search cannot say whether it is good?"""

import math
from collections import Counter
from functools import partial
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution

from records.checks.check import Check, amount, counted
from records.run import Run
from search_spaces.set_syntax import override_text, token

LEVEL = 0.05
"""How often a choice that is as good as the others may be said to be worse."""
ENOUGH = 5
"""With fewer trials there is nothing to compare."""
NAMED = 4
"""Choices named in a sentence."""
FEW_VALUES = 10
"""A range of at most this many whole numbers is treated as choices."""

choices = partial(
    Check,
    "SPACE03",
    detected="For each choice, whether so few trials with it could be told to be worse than the"
    " others at all: if each of them were among the worst trials, that would have to be rarer than"
    " 1 in 20, over all choices together.",
    matters="A choice that was tried once or twice was rejected, or never found, by luck.",
)


def rarely_tried_choices(run: Run) -> Check:
    """SPACE03."""
    rare: dict[str, list[str]] = {}
    tried: list[tuple[float, str]] = []
    words = []
    options_of = {name: _choices(one.distribution) for name, one in run.parameters.items()}
    number = sum(len(options) for options in options_of.values() if len(options) > 1)
    for name, options in options_of.items():
        counts = Counter(one.settings[name] for one in run.finished if name in one.settings)
        n = counts.total()
        if len(options) < 2 or n < ENOUGH:
            continue
        enough = _enough(n, LEVEL / number)
        for option in options:
            told = f"{name}={amount(option)} {counts[option]} of {n} times"
            tried.append((counts[option] * len(options) / n, told))
            if counts[option] < enough:
                words.append(f"{told} ({enough} would tell)")
                rare.setdefault(name, []).append(token(option))
    if not tried:
        n = len(run.finished)
        ended = f"{counted(n, 'trial')} {'has' if n == 1 else 'have'} ended"
        sentence = f"No parameter has choices and {ENOUGH} trials; {ended}."
        return choices("not applicable", sentence)
    if not rare:
        _, least = min(tried, key=lambda one: one[0])
        return choices("passed", f"The least tried of {len(tried)} choices: {least}.")
    named = "; ".join(words[:NAMED]) + f"; and {len(words) - NAMED} more" * (len(words) > NAMED)
    sentence = f"Too rarely tried, {len(words)} of {len(tried)} choices: {named}."
    if len(words) > len(tried) / 2:  # no part of the space, but the search as a whole
        return choices("inconclusive", sentence, do=run.commands.resume(*run.more_trials))
    changes = [override_text(name, tuple(values)) for name, values in rare.items()]
    return choices("inconclusive", sentence, do=run.commands.again(*changes))


def _enough(n: int, level: float) -> int:
    """The least number of trials of ``n`` that are all the worst by chance less often than
    ``level``."""
    return next((k for k in range(1, n // 2 + 1) if 1 / math.comb(n, k) < level), n // 2 + 1)


def _choices(distribution: BaseDistribution) -> list[Any]:
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    if isinstance(distribution, IntDistribution):
        values = range(distribution.low, distribution.high + 1, distribution.step)
        return list(values) if len(values) <= FEW_VALUES else []
    return []
