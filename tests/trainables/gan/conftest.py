"""scikit-learn's digits with their judges, made once, and the settings of small trials."""

from typing import Any

import pytest

from trainables.gan.images import Images, load_images
from trainables.gan.shared import Shared, create_shared
from trainables.gan.trainable import GANTrial

COURSEWORK = {
    "lr_g": 2e-4, "lr_d": 2e-4, "beta1": 0.9, "beta2": 0.999, "batch_size": 64, "latent_dim": 100,
    "latent": "normal", "loss": "non-saturating", "ema": 0.0, "regulariser": "none", "shift": 0,
    "lr_decay": "none", "d_steps": 1, "judge": "search", "report_every": 10, "max_steps": 40,
    "seed": 3, "trial": 0,
}  # fmt: skip


@pytest.fixture(scope="session")
def digits() -> Images:
    return load_images("digits", "nowhere")


@pytest.fixture(scope="session")
def shared(digits: Images, tmp_path_factory: pytest.TempPathFactory) -> Shared:
    return create_shared(digits, lambda line: None, tmp_path_factory.mktemp("judges"))


@pytest.fixture
def gan(shared: Shared, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a trial with the coursework's settings, except for those given."""
    monkeypatch.setattr(GANTrial, "shared", shared)
    return lambda **settings: GANTrial({**COURSEWORK, **settings})
