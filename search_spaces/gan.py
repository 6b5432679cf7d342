"""The search spaces of the GAN, around the coursework's own networks: what is varied, how far, and
why.

``core`` is what the coursework could have tuned: its optimizer, its batch, its latent. ``extended``
adds what the field has learned since; a parameter that means something beside one choice only is
searched only beside it. The coursework's own settings are tried first and never stopped early, so
that every search shows what they give. ``mutable`` marks what is read anew at every step or by
the optimizer, the batches and the running average alone: population based training changes it.
"""

from optuna.distributions import CategoricalDistribution, FloatDistribution

from search_spaces import Parameter, SearchSpace

CORE = {
    "lr_g": Parameter(
        FloatDistribution(5e-5, 2e-3, log=True),
        "The generator's step: a fortieth of the top moves next to nothing in a trial, above it BatchNorm's statistics jump.",
        mutable=True,
    ),
    "lr_d": Parameter(
        FloatDistribution(5e-5, 2e-3, log=True),
        "The discriminator's step, for itself: which side learns faster decides who wins (Heusel et al. 2017, arXiv"
        " 1706.08500).",
        mutable=True,
    ),
    "beta1": Parameter(
        CategoricalDistribution((0.0, 0.5, 0.9)),
        "Adam's momentum: 0.9 is its own default; 0.5 is DCGAN's (Radford et al. 2015, arXiv 1511.06434); 0, no momentum,"
        " what later work settled on, since the target moves with every step of the opponent.",
        below=1.0,
        mutable=True,
    ),
    "beta2": Parameter(
        CategoricalDistribution((0.9, 0.99, 0.999)),
        "How long Adam remembers squared gradients: 0.999 is its default; shorter follows an opponent that changes.",
        below=1.0,
        mutable=True,
    ),
    "batch_size": Parameter(
        CategoricalDistribution((32, 64, 128)),
        "The coursework's 64, half and twice. A trial counts batches, so twice the batch is twice the images; at 128 the"
        " generator's default budget is 20 epochs of MNIST.",
        mutable=True,
    ),
    "latent_dim": Parameter(
        CategoricalDistribution((32, 64, 100, 200)),
        "The coursework's 100 and around it; MNIST's own dimension is estimated at 13 (Pope et al. 2021, arXiv 2104.08894).",
    ),
}

EXTENDED = {
    **CORE,
    "loss": Parameter(
        CategoricalDistribution(("non-saturating", "hinge", "least-squares", "relativistic")),
        "What the two sides play for: the coursework's cross-entropy, and three that came after (trainables/gan/losses.py).",
    ),
    "penalty": Parameter(
        FloatDistribution(0.05, 20.0, log=True),
        "Weight of the gradient penalties R1 and R2, without which the relativistic loss diverges (Huang et al. 2025, arXiv"
        " 2501.05441, who use 0.1 to 150 according to the data).",
        only_if=("loss", "relativistic"),
        mutable=True,
    ),
    "label_smoothing": Parameter(
        FloatDistribution(0.0, 0.3),
        "One-sided: real images aim at 1 less this, so the discriminator is never quite sure (Salimans et al. 2016, arXiv"
        " 1606.03498, with 0.1).",
        only_if=("loss", "non-saturating"),
        below=1.0,
        mutable=True,
    ),
    "ema": Parameter(
        CategoricalDistribution((0.0, 0.99, 0.999, 0.9995)),
        "Decay of the running average of the generator's weights that is measured and kept; 0: none. 0.999 averages over a"
        " thousand steps (Yazici et al. 2018, arXiv 1806.04498).",
        below=1.0,
        mutable=True,
    ),
    "regulariser": Parameter(
        CategoricalDistribution(("none", "dropout", "spectral")),
        "What keeps the discriminator from learning the training images by heart: nothing, dropout, or spectral"
        " normalisation (Miyato et al. 2018, arXiv 1802.05957).",
    ),
    "dropout": Parameter(
        FloatDistribution(0.05, 0.5),
        "Share of the discriminator's hidden units left out in a step.",
        only_if=("regulariser", "dropout"),
        below=1.0,
        mutable=True,
    ),
    "shift": Parameter(
        CategoricalDistribution((0, 1, 2)),
        "Pixels by which the discriminator sees its images moved, real and made alike: it must judge shapes, not pixels, and"
        " cannot learn the training images by heart (Zhao et al. 2020, arXiv 2006.10738).",
        mutable=True,
    ),
    "lr_decay": Parameter(
        CategoricalDistribution(("none", "linear", "cosine", "late")),
        "Both rates, to 0 at the end of the trial: the players' circling dies down, but so does learning, hence also one that"
        " waits for the last third.",
    ),
    "d_steps": Parameter(
        CategoricalDistribution((1, 2)),
        "Discriminator updates a generator update; two cost half as much again.",
        below=101,
    ),
    "latent": Parameter(
        CategoricalDistribution(("normal", "uniform", "clusters")),
        "What latents are drawn from (trainables/gan/latents.py): the coursework's normal, DCGAN's uniform, or ten clusters,"
        " for a target that is ten islands (Khayatkhoei et al. 2018, arXiv 1806.00880).",
    ),
}

HAND_TUNED = {
    "lr_g": 2e-4,
    "lr_d": 2e-4,
    "beta1": 0.9,
    "beta2": 0.999,
    "batch_size": 64,
    "latent_dim": 100,
}
DCGAN = {**HAND_TUNED, "beta1": 0.5}

COURSEWORK = {
    "loss": "non-saturating",
    "label_smoothing": 0.0,
    "ema": 0.0,
    "regulariser": "none",
    "shift": 0,
    "lr_decay": "none",
    "d_steps": 1,
    "latent": "normal",
}

R3GAN = {
    **{
        "lr_g": 3e-4,
        "lr_d": 3e-4,
        "beta1": 0.0,
        "beta2": 0.99,
        "batch_size": 128,
        "latent_dim": 100,
    },
    **{
        "loss": "relativistic",
        "penalty": 1.0,
        "ema": 0.999,
        "regulariser": "none",
        "lr_decay": "linear",
        "d_steps": 1,
    },
    **{"shift": 0, "latent": "normal"},
}
"""In the manner of Huang et al. 2025: no momentum, a relativistic loss with both penalties, averaged weights."""

FOUND = {
    **{
        "lr_g": 8.1e-4,
        "lr_d": 5.2e-4,
        "beta1": 0.0,
        "beta2": 0.999,
        "batch_size": 128,
        "latent_dim": 64,
    },
    **{
        "loss": "non-saturating",
        "label_smoothing": 0.13,
        "ema": 0.999,
        "regulariser": "spectral",
        "shift": 2,
    },
    **{"lr_decay": "late", "d_steps": 2, "latent": "clusters"},
}
"""What the search found on MNIST (README.md), rounded: a start for the next one, there and on other data sets."""

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
"""The choices of ``--space``."""

STEPS = {"mnist": 9_400, "fashion-mnist": 9_400, "kmnist": 9_400, "digits": 1_000}
"""Training steps of a trial at most, by data set, unless the command line says otherwise."""
