"""One trial: train a small transformer on half of all sums modulo p, and see when it can do the
other half.

It first learns its half by heart; sums that it has not seen come right much later, or never
(grokking: Power et al. 2022, https://arxiv.org/abs/2201.02177).
"""

from collections.abc import Mapping
from typing import Any

import torch
from model import ModularAdder
from torch import Tensor
from torch.nn.functional import cross_entropy

from records.outcome import CONVERGED
from trainables.resumable import ResumableTrainable, Row, generator

SOLVED = 0.99
"""Accuracy on unseen sums at which a trial has converged, if the next report has it too."""
CPU = torch.device("cpu")


class ModularAdditionTrial(ResumableTrainable):
    """Config: ``p``, ``train_fraction``; AdamW's ``lr``, ``weight_decay``, ``beta1`` and ``beta2``;
    ``max_steps``, ``report_every``, ``seed``.

    A row: ``loss`` and ``accuracy`` on half of the sums that no training step sees;
    ``mean_accuracy``, that accuracy averaged over the whole step budget; ``train_loss`` and
    ``train_accuracy``, a value every 10 steps; in the last row ``test_accuracy``, on the other
    half, which no decision sees.
    """

    def build(self, config: dict[str, Any]) -> None:
        p, seed = int(config["p"]), int(config["seed"])
        self.model = ModularAdder(p, generator(seed, "weights", CPU)).to(self.device)
        pairs = torch.cartesian_prod(torch.arange(p), torch.arange(p))
        pairs = pairs[torch.randperm(len(pairs), generator=generator(seed, "train", CPU))].to(
            self.device
        )
        seen = round(float(config["train_fraction"]) * len(pairs))
        self.train_pairs, self.validation_pairs, self.test_pairs = pairs.split(
            [seen, (len(pairs) - seen) // 2, len(pairs) - seen - (len(pairs) - seen) // 2]
        )
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(),
            lr=float(config["lr"]),
            weight_decay=float(config["weight_decay"]),
            betas=(float(config["beta1"]), float(config["beta2"])),
        )
        self.accuracy_area = 0.0  # accuracy summed over training steps
        self.reports_solved = 0

    def sums(self, pairs: Tensor) -> Tensor:
        """(a + b) mod p of pairs (B, 2)."""
        return pairs.sum(1) % int(self.config["p"])

    def advance(self) -> dict[str, Tensor]:
        logits, target = self.model(self.train_pairs), self.sums(self.train_pairs)
        loss = cross_entropy(logits, target)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return {"loss": loss.detach(), "accuracy": (logits.argmax(1) == target).float().mean()}

    def evaluate(self, curves: Mapping[str, list[float]]) -> Row:
        loss, accuracy = self.measure(self.validation_pairs)
        self.accuracy_area += accuracy * self.steps_since_report
        self.reports_solved = self.reports_solved + 1 if accuracy >= SOLVED else 0
        converged, left = self.reports_solved > 1, int(self.config["max_steps"]) - self.step_number
        row: Row = {
            "loss": loss,
            "accuracy": accuracy,
            "mean_accuracy": (self.accuracy_area + accuracy * left * converged)
            / (self.step_number + left * converged),
            "ended": CONVERGED.name if converged else None,
        }
        if converged or left == 0:
            row["test_accuracy"] = self.measure(self.test_pairs)[1]
        return row

    @torch.inference_mode()
    def measure(self, pairs: Tensor) -> tuple[float, float]:
        """Mean cross-entropy (nats) and accuracy on pairs (B, 2)."""
        logits, target = self.model(pairs), self.sums(pairs)
        return cross_entropy(logits, target).item(), (
            logits.argmax(1) == target
        ).float().mean().item()

    def diverged_row(self) -> Row:
        return {"loss": None, "accuracy": 0.0, "mean_accuracy": 0.0}

    def state_dict(self) -> dict[str, Any]:
        counters = {name: getattr(self, name) for name in ("accuracy_area", "reports_solved")}
        return {"optimizer": self.optimizer.state_dict(), **counters}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.optimizer.load_state_dict(state["optimizer"])
        self.accuracy_area, self.reports_solved = state["accuracy_area"], state["reports_solved"]
