"""What is searched for modular addition: AdamW's four numbers, around torch's defaults."""

from optuna.distributions import FloatDistribution as Float

from search_spaces import Parameter, SearchSpace

SPACE = SearchSpace(
    parameters={
        "lr": Parameter(Float(1e-4, 3e-2, log=True), "0.1 to 30 times torch's.", mutable=True),
        "weight_decay": Parameter(Float(1e-3, 1e1, log=True), "Favours a rule.", mutable=True),
        "beta1": Parameter(Float(0.5, 0.99), "Momentum.", below=1.0, mutable=True),
        "beta2": Parameter(Float(0.9, 0.999), "Memory of squares.", below=1.0, mutable=True),
    },
    fixed={},
    baselines={"hand-tuned": {"lr": 1e-3, "weight_decay": 0.01, "beta1": 0.9, "beta2": 0.999}},
)
