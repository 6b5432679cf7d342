"""One trial: a small transformer learns some of all sums modulo p and is tested on the others.

It first learns what it sees by heart. Sums that it has not seen come right later, or never
(grokking: Power et al. 2022, https://arxiv.org/abs/2201.02177).
"""

from collections.abc import Mapping
from typing import Any

import torch
from model import ModularAdder
from torch import Tensor
from torch.nn.functional import cross_entropy

from records.outcome import CONVERGED
from trainables.random_states import generator
from trainables.resumable import ResumableTrainable, Row

SOLVED = 0.99  # accuracy on unseen sums: a trial with two such reports in a row has converged


class ModularAdditionTrial(ResumableTrainable):
    """Config: ``p``, ``train_fraction``; AdamW's ``lr``, ``weight_decay``, ``beta1``, ``beta2``.

    A report's row: ``loss`` and ``accuracy`` on half of the unseen sums; ``mean_accuracy`` over all
    steps or, once converged, the budget; in the last row ``test_accuracy`` on the other half.
    """

    saved = ("optimizer", "accuracy_area", "reports_solved")

    def build(self, config: dict[str, Any]) -> None:
        p, seed, cpu = config["p"], config["seed"], torch.device("cpu")
        self.model = ModularAdder(p, generator(seed, "weights", cpu)).to(self.device)
        pairs = torch.cartesian_prod(torch.arange(p), torch.arange(p))  # (p * p, 2)
        order = torch.randperm(len(pairs), generator=generator(seed, "train", cpu))
        seen = round(config["train_fraction"] * len(pairs))
        half = (len(pairs) - seen) // 2
        parts = pairs[order].to(self.device).split([seen, half, len(pairs) - seen - half])
        self.train_pairs, self.validation_pairs, self.test_pairs = parts
        betas, decay = (config["beta1"], config["beta2"]), config["weight_decay"]
        weights = self.model.parameters()
        self.optimizer = torch.optim.AdamW(weights, config["lr"], betas, weight_decay=decay)
        self.accuracy_area = 0.0  # accuracy summed over training steps
        self.reports_solved = 0

    def load_state_dict(self, state: dict[str, Any]) -> None:
        own = {"param_groups": self.optimizer.state_dict()["param_groups"]}  # of this config
        super().load_state_dict({**state, "optimizer": {**state["optimizer"], **own}})

    def measure(self, pairs: Tensor) -> tuple[Tensor, Tensor]:
        """Mean cross-entropy (nats) and accuracy on pairs (B, 2)."""
        logits, target = self.model(pairs), pairs.sum(1) % self.config["p"]  # (B, p), (B,)
        return cross_entropy(logits, target), (logits.argmax(1) == target).float().mean()

    def advance(self) -> dict[str, Tensor]:
        loss, accuracy = self.measure(self.train_pairs)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return {"loss": loss.detach(), "accuracy": accuracy}

    @torch.no_grad()
    def evaluate(self, curves: Mapping[str, list[float]]) -> Row:
        loss, accuracy = (value.item() for value in self.measure(self.validation_pairs))
        self.accuracy_area += accuracy * self.steps_since_report
        self.reports_solved = self.reports_solved + 1 if accuracy >= SOLVED else 0
        converged, left = self.reports_solved > 1, self.config["max_steps"] - self.step_number
        spared = left * converged  # steps not needed: they count with the last accuracy
        mean = (self.accuracy_area + accuracy * spared) / (self.step_number + spared)
        row: Row = {"loss": loss, "accuracy": accuracy, "mean_accuracy": mean}
        if converged or not left:
            row["test_accuracy"] = self.measure(self.test_pairs)[1].item()
        return {**row, "ended": CONVERGED.name if converged else None}
