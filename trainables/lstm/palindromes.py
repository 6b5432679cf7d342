"""The palindrome task: read the first T digits of a palindrome of T + 1 digits, name the last one.

The last digit equals the first, so the network has to remember one digit over T steps in which
other random digits arrive. The digits of the first half are uniform over 0-9 and the second half
mirrors them, so a guess is right one time in ten. There are 10^ceil((T+1)/2) palindromes: training
draws fresh ones for every batch.
"""

import torch
from torch import Tensor

NUM_DIGITS = 10


def draw_palindromes(batch_size: int, input_length: int, generator: torch.Generator) -> Tensor:
    """Whole palindromes, int64 (input_length + 1, batch_size), drawn on the generator's device.

    Raises ValueError if ``input_length`` is below 2: a palindrome of two digits has no delay.
    """
    if input_length < 2:
        raise ValueError(f"input_length must be at least 2, got {input_length}")
    length = input_length + 1
    free = (length + 1) // 2
    shape, device = (free, batch_size), generator.device
    half = torch.randint(NUM_DIGITS, shape, generator=generator, device=device)  # (free, B)
    mirrored = half[: length - free].flip(0)  # (length - free, B)
    return torch.cat([half, mirrored])


def draw_batch(
    batch_size: int, input_length: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """One batch of the task: what the network reads and what it must answer.

    Returns ``x`` (T, batch_size, 1), the first T digits as floats, and ``target`` (batch_size,),
    the last digit as int64.
    """
    palindromes = draw_palindromes(batch_size, input_length, generator)  # (T + 1, B)
    return palindromes[:-1].unsqueeze(-1).float(), palindromes[-1]
