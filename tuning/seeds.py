"""The seeds of a search: small readable numbers. Confirmation and ablation have their own."""

SEEDS_PER_SEARCH = 1_000_000
CONFIRMATION = 900_000
ABLATION_SEEDS = 3
"""With two, Student's interval is eight times as wide as with five; three cost less than a search
does."""


def trial_seed(search_seed: int, number: int, seeds_per_trial: int = 1) -> int:
    """The first seed of the search's trial ``number``."""
    return search_seed * SEEDS_PER_SEARCH + number * seeds_per_trial


def confirmation_seeds(search_seed: int, count: int) -> list[int]:
    """``count`` fresh seeds, which no trial of this search has."""
    first = search_seed * SEEDS_PER_SEARCH + CONFIRMATION
    return list(range(first, first + count))


def ablation_seeds(search_seed: int) -> list[int]:
    """The seeds of each step of the ablation, which nothing else in the search has."""
    end = (search_seed + 1) * SEEDS_PER_SEARCH
    return [end - 1 - place for place in range(ABLATION_SEEDS)]
