"""The search spaces of the LSTM and the RNN: what is varied, how far, and why.

``core`` is the coursework's own models with lr and max_norm, the two settings that it tuned by
hand, and for the RNN also the learning-rate schedule that it used. ``extended`` adds what the
coursework never varied: initial weights, input encoding, optimizer and schedule, batch size, and a
curriculum of lengths. The coursework's settings are tried first, so every search shows what
hand-tuning gives under the same conditions.
"""

from collections.abc import Mapping
from typing import Any

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from search_spaces import Parameter, SearchSpace

LR = Parameter(
    FloatDistribution(1e-4, 1e-1, log=True),
    "RMSprop changes every weight by about lr in a step, whatever the size of its gradient. The"
    " weights start at size 1, so they change by their own size in 10,000 steps at 1e-4, and in 10"
    " steps at 1e-1.",
)
MAX_NORM = Parameter(
    FloatDistribution(1e-3, 1e1, log=True),
    "Gradient norms have a median of 14 and are above 7,200 one time in a hundred. 1e-3"
    " clips every step, but RMSprop then divides most of the clipping out again, so lower values"
    " should change nothing.",
)
LR_GAMMA = Parameter(
    CategoricalDistribution((1.0, 0.8, 0.5)),
    "Factor on lr over 1,000 steps (ExponentialLR, as the coursework used for the RNN). 1.0 is no"
    " decay; over 10,000 steps, 0.8 leaves a tenth of it and 0.5 a thousandth.",
)


EXTENDED_RNN = {
    "optimizer": Parameter(
        CategoricalDistribution(("rmsprop", "adam")),
        "RMSprop is the coursework's. Adam adds momentum and corrects the start of its averages"
        " (Kingma & Ba 2015, arXiv 1412.6980).",
    ),
    "lr": Parameter(
        FloatDistribution(1e-4, 3e-2, log=True),
        "As in the core space, but weights may start smaller here, and smaller steps then change"
        " them by their own size.",
    ),
    "max_norm": MAX_NORM,
    "lr_schedule": Parameter(
        CategoricalDistribution(("constant", "exponential", "settling")),
        "A trial may end during a loss spike (one seed was at 0.886 after thirty batches at 0.995)."
        " A rate that falls exponentially, or after convergence, leaves no spikes at the end.",
    ),
    "lr_gamma": Parameter(
        FloatDistribution(0.1, 0.9),
        "Factor on lr over 1,000 steps: trials that work converge within 300 to 3,000 steps.",
        only_if=("lr_schedule", "exponential"),
    ),
    "averaging": Parameter(
        CategoricalDistribution((0.0, 0.9, 0.98)),
        "Decay of the running average of the weights, which is evaluated and kept: over 10 or 50"
        " steps, or 0 for the weights of the last step. It removes spikes too (Polyak & Juditsky"
        " 1992, https://doi.org/10.1137/0330046).",
        below=1.0,
    ),
    "batch_size": Parameter(
        CategoricalDistribution((32, 64, 128, 256)),
        "The coursework's 128 and values around it. Twice the batch is twice the work.",
    ),
    "encoding": Parameter(
        CategoricalDistribution(("raw", "standardised", "one-hot")),
        "The coursework's raw digits, 0 to 9, push every unit in one direction. Standardised digits"
        " have mean 0 and variance 1. One-hot gives each digit its own weights (Hochreiter &"
        " Schmidhuber 1997, https://doi.org/10.1162/neco.1997.9.8.1735).",
    ),
    "init_scale": Parameter(
        FloatDistribution(0.02, 1.0, log=True),
        "Standard deviation of the initial weights, from the coursework's 1 to below 1/sqrt(128) ="
        " 0.09, at which a layer keeps the size of its input (Glorot & Bengio 2010,"
        " https://proceedings.mlr.press/v9/glorot10a.html).",
    ),
    "recurrent_init": Parameter(
        CategoricalDistribution(("normal", "orthogonal", "identity")),
        "W_h is drawn like the other weights, or keeps lengths (Saxe et al. 2014, arXiv 1312.6120),"
        " or is the identity, which keeps the state itself (Le et al. 2015, arXiv 1504.00941): a"
        " network without gates has no other memory.",
    ),
    "curriculum": Parameter(
        CategoricalDistribution(("none", "growing")),
        "The whole length from the first step, or short palindromes first (Bengio et al. 2009,"
        " https://doi.org/10.1145/1553374.1553380). Without a curriculum, T = 200 shows no progress"
        " for thousands of steps.",
    ),
    "start_length": Parameter(
        IntDistribution(2, 10),
        "Lengths that nearly all settings learn within a few hundred steps.",
        only_if=("curriculum", "growing"),
        at_least=2,
    ),
    "length_growth": Parameter(
        FloatDistribution(1.1, 3.0, log=True),
        "Factor from one length to the next: 1.1 makes forty stages from 2 to 200, 3 makes five."
        " A step that is too large starts from nothing again.",
        only_if=("curriculum", "growing"),
        at_least=1.0,
    ),
    "length_threshold": Parameter(
        FloatDistribution(0.7, 0.99),
        "Training accuracy at which the length grows: a low one saves work, a high one makes sure"
        " that the length is learned.",
        only_if=("curriculum", "growing"),
        below=1.0,
    ),
}

EXTENDED_LSTM = {
    **EXTENDED_RNN,
    "forget_init": Parameter(
        CategoricalDistribution(("constant", "chrono")),
        "All forget biases equal, or spread so that the cells remember over all times up to T, with"
        " the input gates closed as far (Tallec & Ollivier 2018, arXiv 1804.11188).",
    ),
    "forget_bias": Parameter(
        FloatDistribution(0.0, 8.0),
        "At the coursework's 0 a cell loses half of its content in a step. Half of it survives T"
        " steps if sigmoid(b)^T is 1/2: b = 3.3 for T = 20, 5.7 for 200, 7.3 for 1,000 (Gers et al."
        " 2000, https://doi.org/10.1162/089976600300015015).",
        only_if=("forget_init", "constant"),
    ),
}

HIDDEN = {"hidden_dim": 128}

COURSEWORK: Mapping[str, Any] = {
    "optimizer": "rmsprop", "lr_schedule": "constant", "averaging": 0.0, "batch_size": 128,
    "encoding": "raw", "init_scale": 1.0, "recurrent_init": "normal", "curriculum": "none",
    "forget_init": "constant", "forget_bias": 0.0,
}  # fmt: skip
"""What the coursework never varied."""
COURSEWORK_RNN = {name: COURSEWORK[name] for name in COURSEWORK if name in EXTENDED_RNN}

HAND_TUNED = {
    "hand-tuned, defaults": {"lr": 0.001, "max_norm": 10.0},
    "hand-tuned, T=15": {"lr": 0.0015, "max_norm": 0.1},
    "hand-tuned, T=20": {"lr": 0.005, "max_norm": 0.01},
}

TEXTBOOK: Mapping[str, Any] = {
    **COURSEWORK_RNN, "optimizer": "adam", "lr": 1e-3, "max_norm": 1.0,
    "encoding": "standardised", "init_scale": 0.09, "recurrent_init": "orthogonal",
}  # fmt: skip
"""What a textbook would start with today: Adam, small orthogonal weights, standardised input."""

PRIOR_WEIGHT = 10.0
"""``SearchSpace.prior_weight`` of the extended spaces. The best few of about ten trials say little
about sixteen dimensions; guided by them alone, TPE stays near the first good trial. Measured:
docs/decisions/search-efficiency.md"""

SPACES = {
    ("lstm", "core"): SearchSpace(
        parameters={"lr": LR, "max_norm": MAX_NORM},
        fixed={**HIDDEN, **COURSEWORK},
        baselines=HAND_TUNED,
        others=EXTENDED_LSTM,
    ),
    ("rnn", "core"): SearchSpace(
        parameters={"lr": LR, "max_norm": MAX_NORM, "lr_gamma": LR_GAMMA},
        fixed={**HIDDEN, **COURSEWORK_RNN, "lr_schedule": "exponential"},
        others=EXTENDED_RNN,
        baselines={
            "hand-tuned, no schedule": {"lr": 0.001, "max_norm": 10.0, "lr_gamma": 1.0},
            "hand-tuned, ExponentialLR": {"lr": 0.001, "max_norm": 10.0, "lr_gamma": 0.8},
        },
    ),
    ("lstm", "extended"): SearchSpace(
        parameters=EXTENDED_LSTM,
        fixed=HIDDEN,
        prior_weight=PRIOR_WEIGHT,
        baselines={
            "hand-tuned, T=20": {**COURSEWORK, **HAND_TUNED["hand-tuned, T=20"]},
            "textbook": {**TEXTBOOK, "forget_init": "constant", "forget_bias": 1.0},
        },
    ),
    ("rnn", "extended"): SearchSpace(
        parameters=EXTENDED_RNN,
        fixed=HIDDEN,
        prior_weight=PRIOR_WEIGHT,
        baselines={
            "hand-tuned, defaults": {**COURSEWORK_RNN, **HAND_TUNED["hand-tuned, defaults"]},
            "textbook": TEXTBOOK,
        },
    ),
}
"""Search spaces by ``--model`` and ``--space``."""
