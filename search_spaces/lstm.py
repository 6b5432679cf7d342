"""The search spaces of the LSTM and the RNN, around the coursework's own models: what is varied,
how far, and why.

``core`` is lr x max_norm, the two knobs the coursework turned by hand; the RNN adds the
learning-rate schedule that the coursework gave it. All else stays as the coursework had it.
``extended`` adds what the coursework never touched: where the weights start, how the digits enter,
the optimizer and its schedule, the batch, and a curriculum of lengths. The settings the coursework
ended with are tried first, so that every search shows what hand-tuning gives, on the same footing
as what it finds itself.
"""

from collections.abc import Mapping
from typing import Any

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from search_spaces import Parameter, SearchSpace

LR = Parameter(
    FloatDistribution(1e-4, 1e-1, log=True),
    "RMSprop moves every weight by about lr a step whatever the gradient's size, and the weights start at size 1: at 1e-4"
    " ten thousand steps are needed to move them by their own size, at 1e-1 ten steps.",
)
MAX_NORM = Parameter(
    FloatDistribution(1e-3, 1e1, log=True),
    "Gradient norms have a median of 2 and now and then reach 10,000: 10 clips those alone; 1e-3 clips every step, after"
    " which RMSprop divides most of the clipping out again, so nothing new is expected below.",
)
LR_GAMMA = Parameter(
    CategoricalDistribution((1.0, 0.8, 0.5)),
    "ExponentialLR, as the coursework gave the RNN: what lr is multiplied by over 1,000 steps; 1.0 is without it. Over"
    " 10,000 steps 0.8 leaves a tenth of lr, 0.5 a thousandth.",
)


EXTENDED_RNN = {
    "optimizer": Parameter(
        CategoricalDistribution(("rmsprop", "adam")),
        "The coursework's RMSprop; Adam adds momentum and corrects its averages' start (Kingma & Ba 2015, arXiv 1412.6980).",
    ),
    "lr": Parameter(
        FloatDistribution(1e-4, 3e-2, log=True),
        "As in the core space, but weights that start small are moved by their own size by a smaller step.",
    ),
    "max_norm": MAX_NORM,
    "lr_schedule": Parameter(
        CategoricalDistribution(("constant", "exponential", "settling")),
        "A trial may be read in the middle of a loss spike (one seed stood at 0.886 after thirty batches at 0.995):"
        " a rate that falls all along, or once the task is solved, leaves no spikes at the end.",
    ),
    "lr_gamma": Parameter(
        FloatDistribution(0.1, 0.9),
        "What lr is multiplied by over 1,000 steps: trials that work converge within 300 to 3,000.",
        only_if=("lr_schedule", "exponential"),
    ),
    "averaging": Parameter(
        CategoricalDistribution((0.0, 0.9, 0.98)),
        "Decay of the running average of the weights that is measured and kept, over 10 or 50 steps; 0: the last step's own."
        " The other cure for spikes (Polyak & Juditsky 1992, https://doi.org/10.1137/0330046).",
        below=1.0,
    ),
    "batch_size": Parameter(
        CategoricalDistribution((32, 64, 128, 256)),
        "The coursework's 128 and around it; work counts twice the batch as twice the time steps.",
    ),
    "encoding": Parameter(
        CategoricalDistribution(("raw", "standardised", "one-hot")),
        "The coursework's raw digit, 0 to 9, pushes every unit one way; standardised has mean 0 and variance 1; one-hot"
        " gives each digit weights of its own (Hochreiter & Schmidhuber 1997, https://doi.org/10.1162/neco.1997.9.8.1735).",
    ),
    "init_scale": Parameter(
        FloatDistribution(0.02, 1.0, log=True),
        "Standard deviation of the initial weights: the coursework's 1, past 1/sqrt(128) = 0.09, which keeps the size of what"
        " passes through a layer (Glorot & Bengio 2010, https://proceedings.mlr.press/v9/glorot10a.html).",
    ),
    "recurrent_init": Parameter(
        CategoricalDistribution(("normal", "orthogonal", "identity")),
        "W_h as the other weights, or one that keeps lengths (Saxe et al. 2014, arXiv 1312.6120), or the identity, which keeps"
        " the state itself (Le et al. 2015, arXiv 1504.00941): all that a network without gates can remember by.",
    ),
    "curriculum": Parameter(
        CategoricalDistribution(("none", "growing")),
        "The whole length from the first step, or short palindromes first (Bengio et al. 2009,"
        " https://doi.org/10.1145/1553374.1553380). From a cold start T = 200 is flat for thousands of steps.",
    ),
    "start_length": Parameter(
        IntDistribution(2, 10),
        "Lengths that nearly any setting learns within a few hundred steps.",
        only_if=("curriculum", "growing"),
    ),
    "length_growth": Parameter(
        FloatDistribution(1.1, 3.0, log=True),
        "How many times longer the next length is: at 1.1 fifty stages lead from 2 to 200, at 3 five; a stage that is too long"
        " is a cold start again.",
        only_if=("curriculum", "growing"),
    ),
    "length_threshold": Parameter(
        FloatDistribution(0.7, 0.99),
        "Training accuracy at which the length grows: early keeps the work small, late makes sure of what is latched.",
        only_if=("curriculum", "growing"),
        below=1.0,
    ),
}

EXTENDED_LSTM = {
    **EXTENDED_RNN,
    "forget_init": Parameter(
        CategoricalDistribution(("constant", "chrono")),
        "Forget biases all alike, or spread so that the cells' memories span all times up to T, with the input gates as much"
        " closed (Tallec & Ollivier 2018, arXiv 1804.11188).",
    ),
    "forget_bias": Parameter(
        FloatDistribution(0.0, 8.0),
        "The coursework's 0 forgets half of a cell a step; half of it survives T steps only where sigmoid(b)^T is 1/2: 3.3"
        " for T = 20, 5.7 for 200, 7.3 for 1,000 (Gers et al. 2000, https://doi.org/10.1162/089976600300015015).",
        only_if=("forget_init", "constant"),
    ),
}

HIDDEN = {"hidden_dim": 128}

COURSEWORK: Mapping[str, Any] = {
    **{
        "optimizer": "rmsprop",
        "lr_schedule": "constant",
        "averaging": 0.0,
        "batch_size": 128,
        "encoding": "raw",
    },
    **{
        "init_scale": 1.0,
        "recurrent_init": "normal",
        "curriculum": "none",
        "forget_init": "constant",
        "forget_bias": 0.0,
    },
}
"""What the coursework never varied."""
COURSEWORK_RNN = {
    name: value for name, value in COURSEWORK.items() if not name.startswith("forget")
}

HAND_TUNED = {
    "hand-tuned, defaults": {"lr": 0.001, "max_norm": 10.0},
    "hand-tuned, T=15": {"lr": 0.0015, "max_norm": 0.1},
    "hand-tuned, T=20": {"lr": 0.005, "max_norm": 0.01},
}

TEXTBOOK: Mapping[str, Any] = {
    **{
        "optimizer": "adam",
        "lr": 1e-3,
        "max_norm": 1.0,
        "lr_schedule": "constant",
        "averaging": 0.0,
        "batch_size": 128,
    },
    **{
        "encoding": "standardised",
        "init_scale": 0.09,
        "recurrent_init": "orthogonal",
        "curriculum": "none",
    },
}
"""What a textbook would start with today: Adam, small orthogonal weights, standardised input."""

PRIOR_WEIGHT = 10.0
"""Of the extended spaces: the best few of some ten trials say little about seventeen dimensions,
and by them alone TPE goes on trying what lies next to the first good one. Measured:
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
            "hand-tuned, defaults": {**COURSEWORK_RNN, "lr": 0.001, "max_norm": 10.0},
            "textbook": TEXTBOOK,
        },
    ),
}
"""(model, space) to search space: the choices of ``--model`` and ``--space``."""
