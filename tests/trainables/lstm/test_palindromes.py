import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainables.lstm.palindromes import draw_batch, draw_palindromes


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@settings(deadline=None, max_examples=40)
@given(input_length=st.integers(2, 60), batch_size=st.integers(1, 20), seed=st.integers(0, 2**31))
def test_reads_the_same_in_both_directions_at_odd_and_even_lengths(
    input_length: int, batch_size: int, seed: int
) -> None:
    palindromes = draw_palindromes(batch_size, input_length, stream(seed))
    assert palindromes.shape == (input_length + 1, batch_size)
    assert torch.equal(palindromes, palindromes.flip(0))


def test_every_digit_of_the_free_half_is_uniform_and_independent() -> None:
    palindromes = draw_palindromes(200_000, 4, stream())
    free = palindromes[:3]
    for digits in free:
        assert (
            torch.bincount(digits, minlength=10).float().div(200_000).sub(0.1).abs().max() < 0.005
        )
    assert torch.corrcoef(free.float()).sub(torch.eye(3)).abs().max() < 0.01


def test_the_network_reads_all_but_the_last_digit_and_answers_the_first() -> None:
    x, target = draw_batch(50, 7, stream())
    assert x.shape == (7, 50, 1)
    assert x.dtype == torch.float32
    assert torch.equal(x[0, :, 0].long(), target)
    assert torch.equal(draw_palindromes(50, 7, stream())[:-1].float(), x[:, :, 0])


def test_batches_follow_from_the_seed_and_do_not_repeat() -> None:
    one, other = stream(3), stream(3)
    first, again = draw_batch(128, 20, one)[0], draw_batch(128, 20, other)[0]
    assert torch.equal(first, again)
    assert not torch.equal(draw_batch(128, 20, one)[0], first)


def test_a_palindrome_of_two_digits_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2, got 1"):
        draw_palindromes(8, 1, stream())
