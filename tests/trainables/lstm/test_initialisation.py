import math

import pytest
import torch

from trainables.lstm.initialisation import chrono, initialise, open_gates
from trainables.lstm.model import LSTM, MODELS, RNN


def stream() -> torch.Generator:
    return torch.Generator().manual_seed(3)


@pytest.mark.parametrize("name", ["lstm", "rnn"])
def test_the_courseworks_start_is_left_as_it_was(name: str) -> None:
    model = MODELS[name](generator=stream())
    initialise(model, 1.0, "normal")
    untouched = MODELS[name](generator=stream()).state_dict()
    assert all(torch.equal(weights, untouched[key]) for key, weights in model.state_dict().items())


@pytest.mark.parametrize("scale", [0.05, 0.5])
def test_every_weight_has_the_standard_deviation_asked_for(scale: float) -> None:
    model = LSTM(generator=stream())
    initialise(model, scale, "normal")
    for weights in (model.W_x, model.W_h, model.W_ph):
        assert weights.std().item() == pytest.approx(scale, rel=0.1)


@pytest.mark.parametrize("model", [LSTM(), RNN()])
def test_recurrent_matrices_are_orthogonal_or_the_identity_in_every_gate(model: LSTM | RNN) -> None:
    identity = torch.eye(128).expand_as(model.W_h)
    initialise(model, 0.1, "orthogonal", stream())
    torch.testing.assert_close(model.W_h @ model.W_h.transpose(1, 2), identity, rtol=0, atol=1e-4)
    initialise(model, 0.1, "identity")
    assert torch.equal(model.W_h, identity)


def test_half_of_a_cell_survives_as_long_as_the_forget_bias_says() -> None:
    """With all weights at zero a cell's content is multiplied by sigmoid(b_f) every step."""
    model = LSTM(kernel="reference")
    initialise(model, 0.0, "normal")
    open_gates(model, 3.3)
    torch.testing.assert_close(
        model.b[1].sigmoid().pow(20), torch.full((128,), 0.482), rtol=0, atol=0.02
    )
    assert not model.b[[0, 2, 3]].any()


def test_chrono_spreads_the_memories_over_all_times_up_to_the_longest() -> None:
    model = LSTM(hidden_dim=4096)
    chrono(model, 100, stream())
    spans = model.b[1].exp()
    assert 1 <= spans.min() < 2
    assert 98 < spans.max() <= 99
    assert spans.mean().item() == pytest.approx(50, abs=2)
    assert torch.equal(model.b[0], -model.b[1])


def test_chrono_over_two_steps_is_no_nan() -> None:
    model = LSTM()
    chrono(model, 2, stream())
    assert all(math.isfinite(value) for value in model.b.flatten().tolist())
