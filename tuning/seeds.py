"""The seeds of a search: small readable numbers, no two of one search alike, and confirmation's own never searched on."""

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
    """The seed of the trainings on the way from the hand-tuned settings to the winner's, which nothing else has."""
    return (search_seed + 1) * SEEDS_PER_SEARCH - 1
