"""One LSTM (or RNN) trial: training with clipped gradients, evaluated on held-out palindromes.

A trial has converged at the first evaluation from which on held-out accuracy stays at least
``CONVERGED`` for ``STAYS`` evaluations in a row; it then ends. Two metrics rank trials that may all
end with an accuracy of 1.0:

``mean_accuracy``, to maximize: held-out accuracy averaged over the whole step budget. The steps
that an ended trial did not need count with its last accuracy.

``log_work``, to minimize: the decimal logarithm of the work until the trial converged. Work is the
number of time steps in all training batches, in units of 128 palindromes. It compares trials whose
steps differ in cost, because their palindromes are shorter or their batches have another size. For
a trial that has not converged, it is the logarithm of the whole budget plus 1 - ``progress``, where
``progress`` is averaged over the work so far. ``progress`` is 0 if the first digit is guessed and 1
if it is always remembered, averaged over a ladder of delays. A delay counts as remembered at least
as well as any longer one.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from trainables.lstm.curriculum import Curriculum
from trainables.lstm.initialisation import chrono, initialise, open_gates
from trainables.lstm.model import LSTM, MODELS, RNN
from trainables.lstm.palindromes import NUM_DIGITS, draw_batch
from trainables.random_states import generator
from trainables.resumable import REPORT_EVERY, ResumableTrainable, Row

CONVERGED = 0.99
STAYS = 5
EVALUATION_PALINDROMES = 10_000
FIRST_LOOK = 1_000
"""Palindromes of a first, cheaper evaluation."""
WORTH_A_LOOK = 0.97
"""Accuracy in the first evaluation from which on all ``EVALUATION_PALINDROMES`` are evaluated."""
EVALUATION_BATCH = 500
"""Small enough that the hidden states of a batch stay in a core's cache."""

WORK_BATCH = 128
EARLY_FACTOR = 3
CHANCE = 1 / NUM_DIGITS
SETTLING = 0.99
"""Factor of a settling learning rate at every step once the task is solved in training."""

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "rmsprop": torch.optim.RMSprop,
    "adam": torch.optim.Adam,
}


class LSTMTrial(ResumableTrainable):
    """Config: ``model`` (lstm, rnn), ``input_length``, ``hidden_dim``, ``batch_size``,
    ``max_steps``, ``seed``; ``report_every``, in steps on whole palindromes, and ``first_report``,
    with which reports are due at the same work in every trial (see ``next_report``); ``optimizer``
    (rmsprop, adam), ``lr``, ``max_norm``; ``lr_schedule``: constant, exponential (times
    ``lr_gamma`` over 1,000 steps) or settling (times 0.99 a step once training accuracy is 0.99 at
    the whole length); ``averaging``: the decay of a running average of the weights, which is then
    measured and exported; 0: none; ``encoding`` (see ``model.py``); ``init_scale``,
    ``recurrent_init``, and for the LSTM ``forget_init``: constant at ``forget_bias``, or chrono
    (see ``initialisation.py``); ``curriculum``: none, or growing with
    ``start_length``, ``length_growth``, ``length_threshold`` (see ``curriculum.py``).

    A report's row: ``step``; ``work`` so far and ``length``, the one trained on now; ``loss`` and
    ``accuracy`` on fresh held-out palindromes of the whole length: 1,000, or 10,000 if accuracy on
    the 1,000 is at least 0.97; ``mean_accuracy``, ``log_work`` and ``progress`` (above);
    ``steps_to_converge`` and ``work_to_converge``, at the first of the latest evaluations with an
    accuracy of 0.99, else None; ``train_loss``, ``train_accuracy`` and ``train_grad_norm`` (before
    clipping), one value every 10 steps; ``ended``; and, in the last row, ``test_accuracy``,
    measured once on 10,000 palindromes of a stream that no decision of the trial has seen.
    """

    model: LSTM | RNN
    saved = (
        "network", "averaged", "optimizer", "curriculum", "train_stream", "evaluation_stream",
        "work", "time_steps_since_report", "solved_steps", "accuracy_area", "progress_area",
        "progress_work", "converged_since", "evaluations_converged",
    )  # fmt: skip

    def build(self, config: dict[str, Any]) -> None:
        seed = int(config["seed"])
        weights = generator(seed, "weights", torch.device("cpu"))  # the same on every device
        kind, size = MODELS[config["model"]], int(config["hidden_dim"])
        network = kind(size, encoding=config["encoding"], generator=weights)
        recurrent_init = config.get("recurrent_init", "normal")
        initialise(network, float(config["init_scale"]), recurrent_init, weights)
        if isinstance(network, LSTM):
            if config["forget_init"] == "chrono":
                chrono(network, int(config["input_length"]), weights)
            else:
                open_gates(network, float(config["forget_bias"]))
        self.network = self.model = network.to(self.device)
        self.averaged = None
        if decay := float(config["averaging"]):
            self.averaged = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(decay))
            self.model = cast(LSTM | RNN, self.averaged.module)
        optimizer = OPTIMIZERS[config["optimizer"]]
        self.optimizer = optimizer(self.network.parameters(), lr=float(config["lr"]))
        self.curriculum = Curriculum.of(config)
        self.train_stream = generator(seed, "train", self.device)
        self.evaluation_stream = generator(seed, "evaluation", self.device)
        self.max_work = float(config["max_steps"] * config["input_length"])
        self.work = 0.0
        self.time_steps_since_report = self.solved_steps = self.evaluations_converged = 0
        self.accuracy_area = 0.0  # accuracy summed over training steps
        self.progress_area = self.progress_work = 0.0  # progress summed over work, and that work
        # Step and work of the evaluation since which accuracy has been at least CONVERGED
        self.converged_since: tuple[int, float] | None = None

    def report_due(self, steps: int) -> bool:
        every = int(self.config.get("report_every", REPORT_EVERY)) * int(
            self.config["input_length"]
        )
        if first := self.config.get("first_report"):
            due = self.work >= next_report(self.progress_work, first, every)
        else:
            due = self.time_steps_since_report >= every
        return due or self.work >= self.max_work

    def advance(self) -> dict[str, Tensor]:
        length, batch_size = self.curriculum.length, int(self.config["batch_size"])
        x, target = draw_batch(batch_size, length, self.train_stream)
        logits = self.network(x)  # (B, C)
        loss = cross_entropy(logits, target)
        self.optimizer.zero_grad()
        loss.backward()
        grad_norm = clip_grad_norm_(self.network.parameters(), self.config["max_norm"])
        self.optimizer.step()
        if self.averaged:
            self.averaged.update_parameters(self.network)
        accuracy = (logits.argmax(1) == target).float().mean()
        self.work += length * batch_size / WORK_BATCH
        self.time_steps_since_report += length
        self.curriculum.see(accuracy)
        self._set_lr()
        return {"loss": loss.detach(), "accuracy": accuracy, "grad_norm": grad_norm.detach()}

    def _set_lr(self) -> None:
        """The learning rate of the next step."""
        factor = 1.0
        self.solved_steps += self.curriculum.solved
        if self.config["lr_schedule"] == "exponential":
            factor = float(self.config["lr_gamma"]) ** (self.step_number / 1000)
        elif self.config["lr_schedule"] == "settling":
            factor = SETTLING**self.solved_steps
        for group in self.optimizer.param_groups:
            group["lr"] = float(self.config["lr"]) * factor

    def evaluate(self, curves: Mapping[str, list[float]]) -> Row:
        loss, accuracy, progress = self._measure(self.evaluation_stream, FIRST_LOOK)
        if accuracy >= WORTH_A_LOOK:
            loss, accuracy, progress = self._measure(self.evaluation_stream, EVALUATION_PALINDROMES)
        self.accuracy_area += accuracy * self.steps_since_report
        self.progress_area += progress * (self.work - self.progress_work)
        self.progress_work, self.time_steps_since_report = self.work, 0
        if accuracy < CONVERGED:
            self.converged_since, self.evaluations_converged = None, 0
        else:
            self.converged_since = self.converged_since or (self.step_number, self.work)
            self.evaluations_converged += 1
        converged = self.evaluations_converged >= STAYS
        used_up = self.step_number == self.config["max_steps"] or self.work >= self.max_work
        mean_accuracy = self.accuracy_area / self.step_number
        if converged:
            mean_accuracy = self._mean_accuracy(accuracy)
        row: Row = {
            "work": self.work,
            "length": self.curriculum.length,
            "loss": loss,
            "accuracy": accuracy,
            "progress": progress,
            "mean_accuracy": mean_accuracy,
            "log_work": self._log_work(converged),
            "steps_to_converge": self.converged_since and self.converged_since[0],
            "work_to_converge": self.converged_since and self.converged_since[1],
            "ended": "converged" if converged else "budget" if used_up else None,
        }
        if row["ended"]:
            test_stream = generator(int(self.config["seed"]), "test", self.device)
            row["test_accuracy"] = self._measure(test_stream, EVALUATION_PALINDROMES)[1]
        return row

    def diverged_row(self) -> Row:
        return {
            "work": self.work,
            "length": self.curriculum.length,
            "loss": None,
            "accuracy": CHANCE,
            "progress": 0.0,
            "mean_accuracy": self._mean_accuracy(CHANCE),
            "log_work": math.log10(self.max_work) + 1,
            "steps_to_converge": None,
            "work_to_converge": None,
        }

    def _mean_accuracy(self, rest: float) -> float:
        """Accuracy averaged over the whole step budget; the steps not taken count as ``rest``."""
        max_steps = int(self.config["max_steps"])
        return (self.accuracy_area + rest * (max_steps - self.step_number)) / max_steps

    def _log_work(self, converged: bool) -> float:
        if converged and self.converged_since:
            return math.log10(self.converged_since[1])
        return math.log10(self.max_work) + 1 - self.progress_area / self.work

    @torch.inference_mode()
    def _measure(self, stream: torch.Generator, palindromes: int) -> tuple[float, float, float]:
        """Mean cross-entropy (nats), accuracy and progress on fresh palindromes of ``stream``."""
        length = int(self.config["input_length"])
        x, target = draw_batch(palindromes, length, stream)
        places = torch.tensor(ladder(length), device=self.device) - 1
        read = [
            self.model.read(self.model.hidden_states(batch)[places])
            for batch in x.split(EVALUATION_BATCH, dim=1)
        ]
        logits = torch.cat(read, dim=1)  # (places, B, C); the last place is the whole length
        accuracies = (logits.argmax(-1) == target).float().mean(1)  # (places,)
        remembered = accuracies.flip(0).cummax(0).values  # at each delay or a longer one
        progress = ((remembered - CHANCE) / (1 - CHANCE)).clamp(min=0).mean()
        return cross_entropy(logits[-1], target).item(), accuracies[-1].item(), progress.item()


def next_report(last: float, first: int, every: int) -> int:
    """The work at which a report is due after one at ``last``: ``first``, ``EARLY_FACTOR`` times as
    much, and so on below ``every``, then the multiples of ``every``."""
    early, late = first, int(last // every + 1) * every
    while early <= last:
        early *= EARLY_FACTOR
    return early if early < every else late


def ladder(length: int) -> list[int]:
    """Delays at which progress is measured: 2, each next one 1.5 times longer, last ``length``."""
    delays, delay = [], 2.0
    while delay < length:
        delays.append(int(delay))
        delay *= 1.5
    return [*delays, length]
