"""The search spaces of the GAN, around the coursework's own networks: what is varied, how far, and
why.

``core`` is what the coursework could have tuned: its optimizer, batch size and latent. ``extended``
adds what was published later. The coursework's own settings are tried first and never stopped
early, so every search shows what they give. Population based training changes the ``mutable``
parameters, from which no network is built.
"""

from optuna.distributions import CategoricalDistribution, FloatDistribution

from search_spaces import Parameter, SearchSpace

CORE = {
    "lr_g": Parameter(
        FloatDistribution(5e-5, 2e-3, log=True),
        "Learning rate of the generator: at 5e-5 it hardly changes in a trial, and above 2e-3 the"
        " statistics of its BatchNorm jump.",
        mutable=True,
    ),
    "lr_d": Parameter(
        FloatDistribution(5e-5, 2e-3, log=True),
        "Learning rate of the discriminator, apart from the generator's: which side learns faster"
        " decides who wins (Heusel et al. 2017, arXiv 1706.08500).",
        mutable=True,
    ),
    "beta1": Parameter(
        CategoricalDistribution((0.0, 0.5, 0.9)),
        "Adam's momentum: 0.9 is Adam's default, 0.5 is DCGAN's (Radford et al. 2015, arXiv"
        " 1511.06434). Later work uses 0, since the opponent moves the target at every step.",
        below=1.0,
        mutable=True,
    ),
    "beta2": Parameter(
        CategoricalDistribution((0.9, 0.99, 0.999)),
        "How long Adam remembers squared gradients: 0.999 is its default, and lower values follow a"
        " changing opponent sooner.",
        below=1.0,
        mutable=True,
    ),
    "batch_size": Parameter(
        CategoricalDistribution((32, 64, 128)),
        "The coursework's 64, half of it and twice it. Trials are limited in batches, so twice the"
        " batch is twice the images: the default budget is 20 epochs of MNIST at 128.",
        at_least=2,  # batch normalisation cannot train on one image
        mutable=True,
    ),
    "latent_dim": Parameter(
        CategoricalDistribution((32, 64, 100, 200)),
        "The coursework's 100 and values around it. The dimension of MNIST itself is about 13"
        " (Pope et al. 2021, arXiv 2104.08894).",
    ),
}

EXTENDED = {
    **CORE,
    "loss": Parameter(
        CategoricalDistribution(("non-saturating", "hinge", "least-squares", "relativistic")),
        "What the two sides optimize: the coursework's cross-entropy, or one of three later losses"
        " (trainables/gan/losses.py).",
    ),
    "penalty": Parameter(
        FloatDistribution(0.05, 20.0, log=True),
        "Weight of the gradient penalties R1 and R2, without which the relativistic loss diverges"
        " (Huang et al. 2025, arXiv 2501.05441, who use 0.1 to 150 depending on the data).",
        only_if=("loss", "relativistic"),
        mutable=True,
    ),
    "label_smoothing": Parameter(
        FloatDistribution(0.0, 0.3),
        "Real images get the target 1 minus this (one-sided), so that the discriminator is never"
        " certain (Salimans et al. 2016, arXiv 1606.03498, who use 0.1).",
        only_if=("loss", "non-saturating"),
        below=1.0,
        mutable=True,
    ),
    "ema": Parameter(
        CategoricalDistribution((0.0, 0.99, 0.999, 0.9995)),
        "Decay of the running average of the generator's weights, which is evaluated and kept; 0:"
        " none. 0.999 averages over 1,000 steps (Yazici et al. 2018, arXiv 1806.04498).",
        below=1.0,
        mutable=True,
    ),
    "regulariser": Parameter(
        CategoricalDistribution(("none", "dropout", "spectral")),
        "Against a discriminator that memorizes the training images: nothing, dropout, or spectral"
        " normalisation (Miyato et al. 2018, arXiv 1802.05957).",
    ),
    "dropout": Parameter(
        FloatDistribution(0.05, 0.5),
        "Fraction of the discriminator's hidden units that are left out in a step.",
        only_if=("regulariser", "dropout"),
        below=1.0,
        mutable=True,
    ),
    "shift": Parameter(
        CategoricalDistribution((0, 1, 2)),
        "The discriminator sees all images, real and generated, shifted by up to this many pixels:"
        " it must judge shapes, and cannot memorize the training images (Zhao et al. 2020, arXiv"
        " 2006.10738).",
        mutable=True,
    ),
    "lr_decay": Parameter(
        CategoricalDistribution(("none", "linear", "cosine", "late")),
        "Decay of both learning rates to 0 at the end of the trial. It stops the two sides from"
        " circling, but also from learning, so late decays in the last third only.",
    ),
    "d_steps": Parameter(
        CategoricalDistribution((1, 2)),
        "Discriminator updates for each generator update. Two cost half as much again.",
        below=101,
    ),
    "latent": Parameter(
        CategoricalDistribution(("normal", "uniform", "clusters")),
        "Distribution of the latents (trainables/gan/latents.py): the coursework's normal, DCGAN's"
        " uniform, or ten clusters, since the ten digits are ten islands (Khayatkhoei et al. 2018,"
        " arXiv 1806.00880).",
    ),
}

HAND_TUNED = {
    "lr_g": 2e-4, "lr_d": 2e-4, "beta1": 0.9, "beta2": 0.999, "batch_size": 64, "latent_dim": 100,
}  # fmt: skip
DCGAN = {**HAND_TUNED, "beta1": 0.5}

COURSEWORK = {
    "loss": "non-saturating", "label_smoothing": 0.0, "ema": 0.0, "regulariser": "none", "shift": 0,
    "lr_decay": "none", "d_steps": 1, "latent": "normal",
}  # fmt: skip

R3GAN = {
    "lr_g": 3e-4, "lr_d": 3e-4, "beta1": 0.0, "beta2": 0.99, "batch_size": 128, "latent_dim": 100,
    "loss": "relativistic", "penalty": 1.0, "ema": 0.999, "regulariser": "none", "shift": 0,
    "lr_decay": "linear", "d_steps": 1, "latent": "normal",
}  # fmt: skip
"""After Huang et al. 2025: no momentum, a relativistic loss, both penalties, averaged weights."""

FOUND = {
    "lr_g": 8.1e-4, "lr_d": 5.2e-4, "beta1": 0.0, "beta2": 0.999, "batch_size": 128,
    "latent_dim": 64, "loss": "non-saturating", "label_smoothing": 0.13, "ema": 0.999,
    "regulariser": "spectral", "shift": 2, "lr_decay": "late", "d_steps": 2, "latent": "clusters",
}  # fmt: skip
"""Settings that a search found on MNIST (docs/results.md), rounded. They start the next search,
also on other data sets."""

SPACES = {
    "core": SearchSpace(
        parameters=CORE,
        fixed=COURSEWORK,
        baselines={"hand-tuned, defaults": HAND_TUNED, "DCGAN's beta1": DCGAN},
        others=EXTENDED,
    ),
    "extended": SearchSpace(
        parameters=EXTENDED,
        fixed={},
        baselines={
            "hand-tuned, defaults": {**HAND_TUNED, **COURSEWORK},
            "in the manner of R3GAN": R3GAN,
            "from an earlier search": FOUND,
        },
    ),
}
"""Search spaces by ``--space``."""

STEPS = {"mnist": 9_400, "fashion-mnist": 9_400, "kmnist": 9_400, "digits": 1_000}
"""Default of ``--max-steps`` by data set."""
