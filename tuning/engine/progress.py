"""What a search prints while it runs: a status line, and one line for each finished trial.

All of it goes to stderr; stdout is kept for the verdict. On a terminal the status line is redrawn
in place. Elsewhere it is printed once a minute if no trial finishes. rich obeys ``NO_COLOR``.
"""

import time
from collections import Counter
from typing import Any, NamedTuple

from ray.tune import Callback
from ray.tune.experiment import Trial
from rich.console import Console
from rich.live import Live
from rich.text import Text

from records.outcome import BUDGET, COMPLETE, CONVERGED, ERROR, STOPPED_EARLY
from tuning.engine.capacity import Capacity
from tuning.engine.failure import Failure
from tuning.task import Task
from tuning.words import duration, metric_words, settings_words

QUIET_LINE_EVERY_S = 60.0
MEASURED_TRIALS = 3
"""How many trials must have finished before the time left is estimated."""

LOST = {"machine": "worker lost", "memory": "out of memory", "storage": "not saved"}
"""The console's words for a trial that the machine failed."""

STYLES = {
    CONVERGED.name: "green",
    BUDGET.name: "",
    STOPPED_EARLY.name: "dim",
    ERROR.name: "bold red",
}
"""The styles of outcomes. All other outcomes are failures and red."""


class Best(NamedTuple):
    """The best trial so far: its objective as a loss, its number, and the value at a step."""

    loss: float
    number: int
    step: int
    value: float


class Progress(Callback):
    """The progress of a search, or of a ``stage`` after it.

    Args:
        title: What the status line counts, such as ``trials``.
        total: How many of them there are.
        ended, best: The outcomes and the best trial of earlier sessions.
        stage: A stage whose settings do not vary, such as ``confirm``; None for the search itself.
    """

    def __init__(
        self,
        task: Task,
        title: str,
        total: int,
        ended: Counter[str],
        *,
        stage: str | None = None,
        best: Best | None = None,
        quiet: bool = False,
    ) -> None:
        self.objective, self.space = task.objective, task.space
        self.stage, self.quiet = stage, quiet
        goal = (task.goal.metric,) if stage else ()
        self.metrics = tuple(dict.fromkeys((*goal, *task.console_metrics)))
        self.title, self.total, self.ended = title, total, Counter(ended)
        self.finished_here = 0
        self.best = best
        self.started = self.last_line = time.monotonic()
        self.steps: dict[str, int] = {}
        self.reports: list[tuple[float, int]] = []
        self.waiting = 0
        self.capacity: Capacity | None = None
        self._live: Live | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_live": None}  # Ray pickles its callbacks; a terminal cannot be

    def setup(
        self,
        stop: Any = None,
        num_samples: int | None = None,
        total_num_samples: int | None = None,
        **info: Any,
    ) -> None:
        console = Console(stderr=True, highlight=False)
        if console.is_terminal and not self.quiet:
            self._live = Live(
                get_renderable=self.status, console=console, refresh_per_second=2, transient=True
            )
            self._live.start()

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        self.steps[trial.trial_id] = result["step"]
        self.reports.append((time.monotonic(), trial.config["max_steps"] - result["step"]))
        loss = self.objective.loss(result)
        comparable = result["ended"] in COMPLETE and not self.stage
        if comparable and (self.best is None or loss < self.best.loss):
            self.best = Best(
                loss, trial.config["trial"], result["step"], result[self.objective.metric]
            )

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        self.waiting = sum(trial.status == Trial.PAUSED for trial in trials)
        if self._live is None and time.monotonic() - self.last_line > QUIET_LINE_EVERY_S:
            self.say(self.status())

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        self._finished(trial, trial.last_result.get("ended") or STOPPED_EARLY.name)

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        failure = Failure.of(trial)
        if failure.again:
            self.steps.pop(trial.trial_id, None)
            line = f"{self._name(trial)}{LOST[failure.blame]:<15} it goes on in another worker"
            self.say(Text(line, style="yellow"))
        else:
            self._finished(trial, failure.outcome or ERROR.name, failure.line)

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def say(self, line: Text | str) -> None:
        """Print a line on stderr, above the status line if there is one."""
        self.last_line = time.monotonic()
        if not self.quiet:
            console = self._live.console if self._live else Console(stderr=True, highlight=False)
            console.print(line, soft_wrap=True)

    def status(self) -> Text:
        """The status line: done, running, stopped early, failed, the time left, the best so far."""
        stopped = self.ended[STOPPED_EARLY.name]
        failed = self.ended.total() - stopped - sum(self.ended[name] for name in COMPLETE)
        if self.total == 1:
            parts = [self.title, *(f"step {step:,}" for step in self.steps.values())]
        else:
            running = len(self.steps) - self.waiting
            parts = [f"{self.ended.total()} of {self.total} {self.title}", f"{running} running"]
        counts = {"waiting": self.waiting, "stopped early": stopped, "failed": failed}
        parts += [f"{count} {what}" for what, count in counts.items() if count]
        parts.append((self.capacity and self.capacity.words()) or self._time_left())
        if self.best:
            best_words = f"{self.objective.metric} {metric_words(self.best.value)}"
            parts.append(f"best trial {self.best.number}: {best_words} at step {self.best.step:,}")
        return Text(" · ".join(parts), style="bold", no_wrap=True, overflow="ellipsis")

    def _time_left(self) -> str:
        if self.total == 1 and len(self.reports) > 1:  # by the steps of the only training
            (began, steps), (now, left_steps) = self.reports[0], self.reports[-1]
            left = (now - began) * left_steps / max(1, steps - left_steps)
        elif self.finished_here < MEASURED_TRIALS:
            return "measuring"
        else:
            each = (time.monotonic() - self.started) / self.finished_here
            left = (self.total - self.ended.total()) * each
        return f"{duration(0.7 * left)} to {duration(1.4 * left)} left"

    def _finished(self, trial: Trial, ended: str, error: str | None = None) -> None:
        self.steps.pop(trial.trial_id, None)
        self.ended[ended] += 1
        self.finished_here += 1
        result, config = trial.last_result, trial.config
        line = Text(self._name(trial)).append(f"{ended:<13}", style=STYLES.get(ended, "red"))
        if "step" in result:
            values = [(name, result.get(name)) for name in self.metrics]
            words = [f"{name} {metric_words(value)}" for name, value in values if value is not None]
            line.append(f" step {result['step']:>6,}  {'  '.join(words)}")
        settings = self.space.varied(config)
        if self.stage:
            repeated = {"trial": config["confirms"]} if "confirms" in config else {}
            settings = {**repeated, "seed": config["seed"]}
        line.append(f"  {settings_words(settings)}")
        if error:
            unsaved = "" if ended == ERROR.name else "its weights could not be saved: "
            line.append(f"\n           {unsaved}{error}", style="red")
        elif self.best and self.best.number == config["trial"]:
            line.append("  best so far", style="bold green")
        self.say(line)

    def _name(self, trial: Trial) -> str:
        return f"{self.stage:<11}" if self.stage else f"trial {trial.config['trial']:>3}  "
