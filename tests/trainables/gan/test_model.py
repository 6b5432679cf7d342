import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from trainables.gan.model import SimpleDiscriminator, SimpleGenerator, load_generator


def layer_names(network: nn.Sequential) -> list[str]:
    return [type(layer).__name__ for layer in network]


def test_the_generator_is_the_courseworks_layer_by_layer() -> None:
    generator = SimpleGenerator()
    linear = [
        (layer.in_features, layer.out_features)
        for layer in generator.layers
        if isinstance(layer, nn.Linear)
    ]
    assert linear == [(100, 128), (128, 256), (256, 512), (512, 1024), (1024, 784)]
    middle = ["Linear", "BatchNorm1d", "LeakyReLU"]
    assert layer_names(generator.layers) == ["Linear", "LeakyReLU", *middle * 3, "Linear", "Tanh"]
    assert all(
        layer.negative_slope == 0.2 for layer in generator.layers if isinstance(layer, nn.LeakyReLU)
    )
    middle_weights = 128 * 256 + 3 * 256 + 256 * 512 + 3 * 512 + 512 * 1024 + 3 * 1024
    expected = 100 * 128 + 128 + middle_weights + 1024 * 784 + 784
    assert sum(p.numel() for p in generator.parameters()) == expected == 1_510_032


def test_the_discriminator_is_the_courseworks_layer_by_layer() -> None:
    discriminator = SimpleDiscriminator()
    linear = [
        (layer.in_features, layer.out_features)
        for layer in discriminator.layers
        if isinstance(layer, nn.Linear)
    ]
    assert linear == [(784, 512), (512, 256), (256, 1)]
    expected = 784 * 512 + 512 + 512 * 256 + 256 + 256 + 1
    assert sum(p.numel() for p in discriminator.parameters()) == expected == 533_505


def test_images_are_28_by_28_in_tanhs_range_and_their_probability_is_the_scores_sigmoid() -> None:
    torch.manual_seed(0)
    generator, discriminator = SimpleGenerator(latent_dim=7), SimpleDiscriminator()
    images = generator(generator.draw_latents(5, torch.Generator().manual_seed(0)))
    assert images.shape == (5, 28, 28)
    assert images.abs().max() <= 1
    scores = discriminator.scores(images)
    assert scores.shape == (5,)
    torch.testing.assert_close(discriminator(images), 1 / (1 + torch.exp(-scores)))


def test_spectral_normalisation_holds_every_layers_largest_singular_value_at_one() -> None:
    torch.manual_seed(0)
    discriminator = SimpleDiscriminator(normalised=True)
    for _ in range(200):  # each pass in training mode is one step of its power iteration
        discriminator.scores(torch.randn(2, 28, 28))
    for layer in discriminator.layers:
        if isinstance(layer, nn.Linear):
            assert torch.linalg.svdvals(layer.weight)[0].item() == pytest.approx(1, abs=0.02)


def test_an_exported_generator_draws_what_it_drew_before(tmp_path: Path) -> None:
    torch.manual_seed(0)
    generator = SimpleGenerator(latent_dim=12, latent="clusters")
    z = generator.draw_latents(64, torch.Generator().manual_seed(1))
    generator(z)  # moves BatchNorm's statistics
    save_file(generator.state_dict(), tmp_path / "model.safetensors")
    config = {"latent_dim": 12, "latent": "clusters", "lr_g": 1}
    (tmp_path / "config.json").write_text(json.dumps(config))
    loaded = load_generator(tmp_path)
    z = loaded.draw_latents(3, torch.Generator().manual_seed(2))
    torch.testing.assert_close(loaded(z), generator.eval()(z), rtol=0, atol=0)
