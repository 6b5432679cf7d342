"""The palindrome task: read the first T digits of a palindrome of T + 1, name the last one.

The last digit equals the first, so the network has to carry one digit over T steps in which other
random digits arrive. Digits are uniform over 0-9 in the free half of the palindrome and mirrored in
the other, so guessing is right one time in ten. There are 10^ceil((T+1)/2) palindromes: training
draws fresh ones for every batch and no batch is ever repeated.
"""

import torch
from torch import Tensor

NUM_DIGITS = 10


def draw_palindromes(batch_size: int, input_length: int, generator: torch.Generator) -> Tensor:
    """Whole palindromes of ``input_length + 1`` digits, drawn on the generator's device.

    Returns an int64 tensor of shape (input_length + 1, batch_size), time first.

    Raises ValueError if ``input_length`` is below 2: a palindrome of two digits has nothing to
    remember over.
    """
    if input_length < 2:
        raise ValueError(f"input_length must be at least 2, got {input_length}")
    length = input_length + 1
    free = (length + 1) // 2
    half = torch.randint(
        NUM_DIGITS, (free, batch_size), generator=generator, device=generator.device
    )  # (free, B)
    mirrored = half[: length - free].flip(0)  # (length - free, B)
    return torch.cat([half, mirrored])


def draw_batch(
    batch_size: int, input_length: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """One batch of the task: what the network reads and what it must answer.

    Returns ``x``, the first T digits as raw floats, shape (T, batch_size, 1), and ``target``, the
    last digit as int64, shape (batch_size,).
    """
    palindromes = draw_palindromes(batch_size, input_length, generator)  # (T + 1, B)
    return palindromes[:-1].unsqueeze(-1).float(), palindromes[-1]
