"""One LSTM (or RNN) trial: a training step with clipped gradients on palindromes, evaluated on
held-out ones at every report.

A trial has converged at the first evaluation from which on held-out accuracy stays at ``CONVERGED``
or above for ``STAYS`` evaluations in a row; it then ends by itself. Two figures rank trials that
may all end at an accuracy of 1.0:

``mean_accuracy``, to maximize: held-out accuracy averaged over the whole step budget, with the
steps that an ended trial did not need counted at its last accuracy.

``log_work``, to minimize, where trials may train on shorter palindromes or other batches and steps
no longer cost the same: the decimal logarithm of the work until it converged, work being time steps
summed over training (in batches of 128). For a trial that has not converged, the logarithm of the
whole budget plus its mean shortfall so far: 1 less ``progress``, which is how much better than
chance the first digit is read after a delay or a longer one, averaged over a ladder of delays.
"""

import math
from collections.abc import Mapping
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
from trainables.resumable import REPORT_EVERY, ResumableTrainable, Row, generator

CONVERGED = 0.99
STAYS = 5
EVALUATION_PALINDROMES = 10_000
FIRST_LOOK = 1_000
"""Palindromes evaluated first; the others only where accuracy on these is at least ``WORTH_A_LOOK``."""
WORTH_A_LOOK = 0.97
EVALUATION_BATCH = 500
"""Small enough that the hidden states of a batch stay in a core's cache."""

WORK_BATCH = 128
CHANCE = 1 / NUM_DIGITS
SETTLING = 0.99
"""What a settling learning rate is multiplied by each step once the task is solved in training."""

OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "rmsprop": torch.optim.RMSprop,
    "adam": torch.optim.Adam,
}


class LSTMTrial(ResumableTrainable):
    """Config: ``model`` (lstm, rnn), ``input_length``, ``hidden_dim``, ``batch_size``,
    ``max_steps``, ``seed``; ``optimizer`` (rmsprop, adam), ``lr``, ``max_norm``; ``lr_schedule``:
    constant, exponential (times ``lr_gamma`` over 1,000 steps) or settling (times 0.99 a step once
    training accuracy is 0.99 at the whole length); ``averaging``, the decay of a running average of
    the weights that is then what is measured and exported, 0 for none; ``encoding`` (see
    ``model.py``); ``init_scale``, ``recurrent_init``, and for the LSTM ``forget_init`` (constant at
    ``forget_bias``, or chrono; see ``initialisation.py``); ``curriculum``: none, or growing with
    ``start_length``, ``length_growth``, ``length_threshold`` (see ``curriculum.py``).

    A report's row: ``step``; ``work`` and ``length``, trained on now; ``loss`` and ``accuracy`` on
    fresh held-out palindromes of the whole length, 1,000 of them, and 10,000 where accuracy on
    those is at least 0.97; ``mean_accuracy``, ``log_work`` and ``progress`` (above);
    ``steps_to_converge`` and ``work_to_converge`` (None before); ``train_loss``, ``train_accuracy``
    and ``train_grad_norm`` (before clipping), one value every 10 steps; ``ended``; and in the last
    row ``test_accuracy``, measured once on 10,000 palindromes of a stream that no decision of the
    trial has seen.
    """

    model: LSTM | RNN

    def build(self, config: dict[str, Any]) -> None:
        seed = int(config["seed"])
        weights = generator(seed, "weights", torch.device("cpu"))  # the same on every device
        network = MODELS[config["model"]](
            int(config["hidden_dim"]), encoding=config["encoding"], generator=weights
        )
        initialise(
            network, float(config["init_scale"]), config.get("recurrent_init", "normal"), weights
        )
        if isinstance(network, LSTM):
            if config["forget_init"] == "chrono":
                chrono(network, int(config["input_length"]), weights)
            else:
                open_gates(network, float(config["forget_bias"]))
        self.network = network.to(self.device)
        decay = float(config["averaging"])
        self.averaged = (
            AveragedModel(self.network, multi_avg_fn=get_ema_multi_avg_fn(decay)) if decay else None
        )
        self.model = cast(LSTM | RNN, self.averaged.module) if self.averaged else self.network
        self.optimizer = OPTIMIZERS[config["optimizer"]](
            self.network.parameters(), lr=float(config["lr"])
        )  # type: ignore[call-arg]
        self.curriculum = Curriculum.of(config)
        self.train_stream = generator(seed, "train", self.device)
        self.evaluation_stream = generator(seed, "evaluation", self.device)
        self.max_work = float(config["max_steps"] * config["input_length"])
        self.work = 0.0
        self.time_steps_since_report = 0
        self.solved_steps = 0
        self.accuracy_area = 0.0  # accuracy summed over training steps
        self.progress_area, self.progress_work = (
            0.0,
            0.0,
        )  # progress summed over work, and the work it covers
        self.converged_since: tuple[int, float] | None = (
            None  # step and work of the present run of evaluations at CONVERGED
        )
        self.evaluations_converged = 0

    def report_due(self, steps: int) -> bool:
        every = int(self.config.get("report_every", REPORT_EVERY))
        return (
            self.time_steps_since_report >= every * int(self.config["input_length"])
            or self.work >= self.max_work
        )

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
        row: Row = {
            "work": self.work,
            "length": self.curriculum.length,
            "loss": loss,
            "accuracy": accuracy,
            "progress": progress,
            "mean_accuracy": self._mean_accuracy(accuracy)
            if converged
            else self.accuracy_area / self.step_number,
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

    def state_dict(self) -> dict[str, Any]:
        return {
            "network": self.network.state_dict(),
            "averaged": self.averaged.state_dict() if self.averaged else None,
            "optimizer": self.optimizer.state_dict(),
            "curriculum": self.curriculum.state_dict(),
            "train_stream": self.train_stream.get_state(),
            "evaluation_stream": self.evaluation_stream.get_state(),
            **{name: getattr(self, name) for name in COUNTERS},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        if self.averaged:
            self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.curriculum.load_state_dict(state["curriculum"])
        self.train_stream.set_state(state["train_stream"])
        self.evaluation_stream.set_state(state["evaluation_stream"])
        for name in COUNTERS:
            setattr(self, name, state[name])

    def _mean_accuracy(self, rest: float) -> float:
        """Accuracy averaged over the whole step budget, the steps not taken counted at ``rest``."""
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
        accuracies = (logits.argmax(-1) == target).float().mean(1)
        remembered = (
            accuracies.flip(0).cummax(0).values
        )  # what is read after a delay was remembered all the way
        progress = ((remembered - CHANCE) / (1 - CHANCE)).clamp(min=0).mean()
        return cross_entropy(logits[-1], target).item(), accuracies[-1].item(), progress.item()


COUNTERS = (
    "work", "time_steps_since_report", "solved_steps", "accuracy_area", "progress_area", "progress_work", "converged_since",
    "evaluations_converged",
)  # fmt: skip
"""What a trial counts, all of it numbers."""


def ladder(length: int) -> list[int]:
    """Delays at which progress is looked at: 2, then each half as long again, and last ``length`` itself."""
    delays, delay = [], 2.0
    while delay < length:
        delays.append(int(delay))
        delay *= 1.5
    return [*delays, length]
