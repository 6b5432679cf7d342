"""The search spaces of the LSTM and the RNN, around the coursework's own models: what is varied, how far, and why.

``core`` is lr x max_norm, the two knobs the coursework turned by hand; the RNN adds the learning-rate schedule that the
coursework gave it. All else stays as the coursework had it. The settings the coursework ended with are tried first, so
that every search shows what hand-tuning gives, on the same footing as what it finds itself.
"""

from optuna.distributions import CategoricalDistribution, FloatDistribution

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

COURSEWORK = {"batch_size": 128, "hidden_dim": 128}

BY_HAND = {
    "by hand, defaults": {"lr": 0.001, "max_norm": 10.0},
    "by hand, T=15": {"lr": 0.0015, "max_norm": 0.1},
    "by hand, T=20": {"lr": 0.005, "max_norm": 0.01},
}

SPACES = {
    ("lstm", "core"): SearchSpace(
        parameters={"lr": LR, "max_norm": MAX_NORM},
        fixed={"lr_gamma": 1.0, **COURSEWORK},
        known=BY_HAND,
        others={"lr_gamma": LR_GAMMA},
    ),
    ("rnn", "core"): SearchSpace(
        parameters={"lr": LR, "max_norm": MAX_NORM, "lr_gamma": LR_GAMMA},
        fixed=COURSEWORK,
        known={
            "by hand, no schedule": {"lr": 0.001, "max_norm": 10.0, "lr_gamma": 1.0},
            "by hand, ExponentialLR": {"lr": 0.001, "max_norm": 10.0, "lr_gamma": 0.8},
        },
    ),
}
"""(model, space) to search space: the choices of ``--model`` and ``--space``."""
