import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from trainables.gan.losses import (
    Loss,
    discriminator_loss,
    generator_loss,
    gradient_penalty,
    probabilities,
)
from trainables.gan.model import SimpleDiscriminator

REAL, FAKE = torch.tensor([2.0, -0.5, 0.3]), torch.tensor([-1.0, 0.7, 3.0])


def test_non_saturating_is_binary_cross_entropy_with_one_sided_smoothing() -> None:
    ones, zeros = torch.ones(3), torch.zeros(3)
    torch.testing.assert_close(
        generator_loss("non-saturating", FAKE, None), cross_entropy(FAKE, ones)
    )
    for smoothing in (0.0, 0.1):
        expected = cross_entropy(REAL, ones - smoothing) + cross_entropy(FAKE, zeros)
        torch.testing.assert_close(
            discriminator_loss("non-saturating", REAL, FAKE, smoothing), expected
        )


def test_the_other_losses_by_hand() -> None:
    assert generator_loss("hinge", FAKE, None).item() == pytest.approx(-(-1 + 0.7 + 3) / 3)
    assert discriminator_loss("hinge", REAL, FAKE).item() == pytest.approx(
        (0 + 1.5 + 0.7) / 3 + (0 + 1.7 + 4) / 3
    )
    assert generator_loss("least-squares", FAKE, None).item() == pytest.approx((4 + 0.09 + 4) / 3)
    assert discriminator_loss("least-squares", REAL, FAKE).item() == pytest.approx(
        (1 + 2.25 + 0.49) / 3 + (1 + 0.49 + 9) / 3
    )
    torch.testing.assert_close(
        generator_loss("relativistic", FAKE, REAL), cross_entropy(FAKE - REAL, torch.ones(3))
    )
    torch.testing.assert_close(
        discriminator_loss("relativistic", REAL, FAKE), cross_entropy(REAL - FAKE, torch.ones(3))
    )


def test_the_penalty_of_a_linear_score_is_the_squared_norm_of_its_weights() -> None:
    weight = torch.randn(28, 28, generator=torch.Generator().manual_seed(0))
    images = torch.randn(4, 28, 28).requires_grad_()
    scores = (images * weight).sum((1, 2))
    torch.testing.assert_close(gradient_penalty(scores, images), weight.square().sum())


def test_the_penalty_is_the_squared_slope_of_the_discriminator_and_trains_it() -> None:
    torch.manual_seed(0)
    discriminator = SimpleDiscriminator().double()
    images = torch.randn(1, 28, 28, dtype=torch.float64).requires_grad_()
    penalty = gradient_penalty(discriminator.scores(images), images)
    squared, step = 0.0, 1e-6
    for pixel in range(784):
        there = images.detach().clone()
        there.view(-1)[pixel] += step
        squared += ((discriminator.scores(there) - discriminator.scores(images)).item() / step) ** 2
    assert penalty.item() == pytest.approx(squared, rel=1e-4)
    penalty.backward()
    assert all(
        p.grad is not None and p.grad.abs().sum() > 0
        for n, p in discriminator.named_parameters()
        if "weight" in n
    )


@pytest.mark.parametrize("loss", ["non-saturating", "hinge", "least-squares", "relativistic"])
def test_probabilities_say_who_is_winning(loss: Loss) -> None:
    real, fake = probabilities(loss, torch.full((4,), 30.0), torch.full((4,), -30.0))
    assert real > 0.999
    assert fake < 0.001
    even = 0.5 if loss == "least-squares" else 0.0  # the score it gives where it cannot tell
    for value in probabilities(loss, torch.full((4,), even), torch.full((4,), even)):
        assert value.item() == pytest.approx(0.5)
