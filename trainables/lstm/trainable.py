"""One LSTM (or RNN) trial: RMSprop and gradient clipping on palindromes, evaluated on held-out ones at every report.

A trial has converged at the first evaluation from which on held-out accuracy stays at ``CONVERGED`` or above for
``STAYS`` evaluations in a row; it then ends by itself. Its objective is ``mean_accuracy``, held-out accuracy averaged over the
whole step budget, with the steps that an ended trial did not need counted at its last accuracy. Many settings end at an
accuracy of 1.0, where accuracy itself no longer tells them apart; the mean over the budget still puts the one that got
there sooner, and stayed there, first.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_

from trainables.lstm.model import MODELS
from trainables.lstm.palindromes import NUM_DIGITS, draw_batch
from trainables.trial import Row, Trial, generator

CONVERGED = 0.99
STAYS = 5
EVALUATION_PALINDROMES = 10_000
EVALUATION_BATCH = 500
"""Small enough that the hidden states of a batch stay in a core's cache."""


class LSTMTrial(Trial):
    """Config: ``model`` (lstm, rnn), ``input_length``, ``lr``, ``max_norm``, ``lr_gamma`` (what lr is multiplied by over
    1,000 steps, torch's ExponentialLR; 1 leaves it alone), ``batch_size``, ``hidden_dim``, ``max_steps``, ``seed``.

    A report's row: ``step``; ``loss`` and ``accuracy`` on 10,000 fresh held-out palindromes; ``mean_accuracy`` (above);
    ``steps_to_converge`` (training steps, None before); ``train_loss``, ``train_accuracy`` and ``train_grad_norm`` (before
    clipping), one value every 10 steps; ``ended``; and in the last row ``test_accuracy``, measured once on 10,000
    palindromes of a stream that no decision of the trial has seen.
    """

    def build(self, config: dict[str, Any]) -> None:
        seed = int(config["seed"])
        weights = generator(seed, "weights", torch.device("cpu"))  # the same on every device
        model = MODELS[config["model"]](hidden_dim=int(config["hidden_dim"]), generator=weights)
        self.model = model.to(self.device)
        self.optimizer = torch.optim.RMSprop(self.model.parameters(), lr=float(config["lr"]))
        gamma = float(config["lr_gamma"]) ** (1 / 1000)
        self.schedule = torch.optim.lr_scheduler.ExponentialLR(self.optimizer, gamma)
        self.train_stream = generator(seed, "train", self.device)
        self.evaluation_stream = generator(seed, "evaluation", self.device)
        self.accuracy_area = 0.0  # accuracy summed over training steps
        self.converged_since: int | None = None  # the first step of the present run of evaluations at CONVERGED
        self.evaluations_converged = 0

    def advance(self) -> dict[str, Tensor]:
        config = self.config
        x, target = draw_batch(config["batch_size"], config["input_length"], self.train_stream)
        logits = self.model(x)  # (B, C)
        loss = cross_entropy(logits, target)
        self.optimizer.zero_grad()
        loss.backward()
        grad_norm = clip_grad_norm_(self.model.parameters(), config["max_norm"])
        self.optimizer.step()
        self.schedule.step()
        accuracy = (logits.argmax(1) == target).float().mean()
        return {"loss": loss.detach(), "accuracy": accuracy, "grad_norm": grad_norm.detach()}

    def evaluate(self, curves: Mapping[str, list[float]]) -> Row:
        loss, accuracy = self._measure(self.evaluation_stream)
        self.accuracy_area += accuracy * self.steps_since_report
        if accuracy < CONVERGED:
            self.converged_since, self.evaluations_converged = None, 0
        else:
            self.converged_since = self.converged_since or self.step_number
            self.evaluations_converged += 1
        ended = self.evaluations_converged >= STAYS
        row: Row = {
            "loss": loss,
            "accuracy": accuracy,
            "mean_accuracy": self._mean_accuracy(accuracy) if ended else self.accuracy_area / self.step_number,
            "steps_to_converge": self.converged_since,
            "ended": "converged" if ended else None,
        }
        if ended or self.step_number == self.config["max_steps"]:
            test_stream = generator(int(self.config["seed"]), "test", self.device)
            row["test_accuracy"] = self._measure(test_stream)[1]
        return row

    def diverged_row(self) -> Row:
        chance = 1 / NUM_DIGITS
        return {
            "loss": None,
            "accuracy": chance,
            "mean_accuracy": self._mean_accuracy(chance),
            "steps_to_converge": None,
        }

    def state_dict(self) -> dict[str, Any]:
        return {
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "train_stream": self.train_stream.get_state(),
            "evaluation_stream": self.evaluation_stream.get_state(),
            "accuracy_area": self.accuracy_area,
            "converged_since": self.converged_since,
            "evaluations_converged": self.evaluations_converged,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.train_stream.set_state(state["train_stream"])
        self.evaluation_stream.set_state(state["evaluation_stream"])
        self.accuracy_area = state["accuracy_area"]
        self.converged_since = state["converged_since"]
        self.evaluations_converged = state["evaluations_converged"]

    def _mean_accuracy(self, rest: float) -> float:
        """Accuracy averaged over the whole step budget, the steps not taken counted at ``rest``."""
        max_steps = int(self.config["max_steps"])
        return (self.accuracy_area + rest * (max_steps - self.step_number)) / max_steps

    @torch.inference_mode()
    def _measure(self, stream: torch.Generator) -> tuple[float, float]:
        """Mean cross-entropy (nats) and accuracy on fresh palindromes of ``stream``."""
        x, target = draw_batch(EVALUATION_PALINDROMES, self.config["input_length"], stream)
        logits = torch.cat([self.model(batch) for batch in x.split(EVALUATION_BATCH, dim=1)])
        accuracy = (logits.argmax(1) == target).float().mean()
        return cross_entropy(logits, target).item(), accuracy.item()
