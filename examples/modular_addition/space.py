"""What is searched for modular addition: AdamW's four numbers, around the defaults of torch."""

from optuna.distributions import FloatDistribution

from search_spaces import Parameter, SearchSpace

SPACE = SearchSpace(
    parameters={
        "lr": Parameter(
            FloatDistribution(1e-4, 1e-1, log=True),
            "torch's default of 0.001 and a hundred times either way.",
        ),
        "weight_decay": Parameter(
            FloatDistribution(1e-3, 1e1, log=True),
            "What moves a network from learning by heart to a rule; torch's default of 0.01 hardly does.",
        ),
        "beta1": Parameter(FloatDistribution(0.5, 0.99), "Momentum.", below=1.0),
        "beta2": Parameter(
            FloatDistribution(0.9, 0.999),
            "Over how many steps a gradient's size is averaged.",
            below=1.0,
        ),
    },
    fixed={},
    baselines={
        "hand-tuned, torch's defaults": {
            "lr": 1e-3,
            "weight_decay": 0.01,
            "beta1": 0.9,
            "beta2": 0.999,
        }
    },
)
