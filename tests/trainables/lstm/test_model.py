import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from trainables.lstm.model import LSTM, MODELS, RNN, Kernel
from trainables.lstm.palindromes import draw_batch

MODEL = pytest.mark.parametrize("name", ["lstm", "rnn"])
LENGTH = pytest.mark.parametrize("input_length", [2, 5, 20])


def build(name: str, kernel: Kernel = "reference", scale: float = 0.3) -> LSTM | RNN:
    model = MODELS[name](
        hidden_dim=16, kernel=kernel, generator=torch.Generator().manual_seed(1)
    ).double()
    with torch.no_grad():
        for parameter in model.parameters():
            noise = 0.05 * torch.randn_like(parameter)  # biases are not 0 in this test
            parameter.copy_(parameter * scale + noise)
    return model


def batch(input_length: int) -> tuple[Tensor, Tensor]:
    x, target = draw_batch(9, input_length, torch.Generator().manual_seed(2))
    return x.double(), target


@MODEL
@LENGTH
def test_native_kernel_gives_the_references_outputs_and_gradients(
    name: str, input_length: int
) -> None:
    reference, native = build(name), build(name, "native")
    native.load_state_dict(reference.state_dict())
    x, target = batch(input_length)
    for model in (reference, native):
        cross_entropy(model(x), target).backward()
    torch.testing.assert_close(native(x), reference(x), rtol=1e-12, atol=1e-12)
    gradients = dict(reference.named_parameters())
    for key, parameter in native.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[key].grad, rtol=1e-10, atol=1e-12)


@MODEL
@LENGTH
def test_equals_torchs_own_module(name: str, input_length: int) -> None:
    model = build(name)
    theirs = {"lstm": nn.LSTM, "rnn": nn.RNN}[name](1, 16).double()
    theirs.load_state_dict(
        {
            "weight_ih_l0": model.W_x.flatten(0, 1),
            "weight_hh_l0": model.W_h.flatten(0, 1),
            "bias_ih_l0": model.b.flatten(),
            "bias_hh_l0": torch.zeros_like(model.b).flatten(),
        }
    )
    x, _ = batch(input_length)
    expected = nn.functional.linear(theirs(x)[0][-1], model.W_ph, model.b_p)
    torch.testing.assert_close(model(x), expected, rtol=1e-12, atol=1e-12)


def test_one_step_by_hand() -> None:
    model = LSTM(hidden_dim=1, num_classes=1, kernel="reference")
    with torch.no_grad():
        model.W_x.copy_(torch.tensor([0.1, 0.2, 0.3, 0.4]).reshape(4, 1, 1))  # i, f, g, o
        model.b.copy_(torch.tensor([0.5, 0.6, 0.7, 0.8]).reshape(4, 1))
        model.W_ph.fill_(2.0)
        model.b_p.fill_(0.25)
    i, o = (1 / (1 + math.exp(-a)) for a in (0.1 * 3 + 0.5, 0.4 * 3 + 0.8))
    c = math.tanh(0.3 * 3 + 0.7) * i
    h = math.tanh(c) * o
    assert model(torch.full((1, 1, 1), 3.0)).item() == pytest.approx(2 * h + 0.25, rel=1e-6)


@MODEL
def test_weights_start_standard_normal_and_biases_zero(name: str) -> None:
    model = MODELS[name](generator=torch.Generator().manual_seed(0))
    assert model.W_h.std().item() == pytest.approx(1, abs=0.03)
    assert model.W_h.mean().item() == pytest.approx(0, abs=0.03)
    assert not model.b.any()
    assert not model.b_p.any()


@pytest.mark.parametrize(
    ("name", "count"),
    [("lstm", 4 * (128 + 128 * 128 + 128) + 1290), ("rnn", 128 + 128 * 128 + 128 + 1290)],
)
def test_parameter_count(name: str, count: int) -> None:
    assert sum(parameter.numel() for parameter in MODELS[name]().parameters()) == count


@MODEL
def test_both_kernels_have_one_state_dict(name: str) -> None:
    assert list(MODELS[name](kernel="native").state_dict()) == ["W_x", "W_h", "b", "W_ph", "b_p"]
    assert list(MODELS[name](kernel="reference").state_dict()) == ["W_x", "W_h", "b", "W_ph", "b_p"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@MODEL
def test_cudnn_gives_the_references_outputs(name: str) -> None:
    model = build(name).cuda()
    x, _ = batch(20)
    expected = model(x.cuda())
    model.kernel = "native"
    torch.testing.assert_close(model(x.cuda()), expected, rtol=1e-9, atol=1e-10)


def test_standardised_digits_have_mean_0_and_variance_1() -> None:
    digits = torch.arange(10.0).reshape(10, 1, 1)
    encoded = LSTM(encoding="standardised").encode(digits)
    assert encoded.mean().item() == pytest.approx(0, abs=1e-6)
    assert encoded.var(correction=0).item() == pytest.approx(1, abs=1e-6)


@MODEL
def test_one_hot_digits_have_a_unit_each(name: str) -> None:
    model = MODELS[name](encoding="one-hot")
    x, _ = draw_batch(9, 5, torch.Generator().manual_seed(2))
    encoded = model.encode(x)
    assert encoded.shape == (5, 9, 10)
    assert torch.equal(encoded.argmax(-1), x.squeeze(-1).long())
    assert model(x).shape == (9, 10)
