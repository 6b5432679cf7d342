"""The seeds of a search: small readable numbers. Confirmation and ablation have their own."""

SEEDS_PER_SEARCH = 1_000_000
CONFIRMATION = 900_000


def trial_seed(search_seed: int, number: int) -> int:
    """The seed of the search's trial ``number``."""
    return search_seed * SEEDS_PER_SEARCH + number


def confirmation_seeds(search_seed: int, count: int) -> list[int]:
    """``count`` fresh seeds, which no trial of this search has."""
    first = search_seed * SEEDS_PER_SEARCH + CONFIRMATION
    return list(range(first, first + count))


def ablation_seed(search_seed: int) -> int:
    """The one seed of all trainings of the ablation, which nothing else in the search has."""
    return (search_seed + 1) * SEEDS_PER_SEARCH - 1
