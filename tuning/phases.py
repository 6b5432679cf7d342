"""The phases of a search, one after another: trials, finalists on fresh seeds, final training,
ablation, ``best/``.

Each phase goes on where an earlier session was interrupted, and does nothing if it is done. An
interruption ends the process (``tuning.interruption``), so a phase always returns or raises.
"""

import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from typing import Any

from records.outcome import COMPLETE, NOT_ASKED_FOR, TARGET_REACHED, TIME_BUDGET, Outcome
from records.run_directory import RunDirectory
from trainables.resumable import ResumableTrainable
from trainables.several_seeds import several_seeds
from tuning.ablation import ablation_queue
from tuning.best import write_best
from tuning.engine.asha import create_scheduler
from tuning.engine.cluster import Cluster
from tuning.engine.in_process import run_in_process
from tuning.engine.membership import Membership
from tuning.engine.patience import Patience, check_writable
from tuning.engine.progress import Best, Progress
from tuning.engine.queue_searcher import QueueSearcher
from tuning.engine.ray_processes import ray_processes
from tuning.engine.recorder import KEEP_WEIGHTS
from tuning.engine.room import Room
from tuning.engine.searcher import StudySearch
from tuning.engine.study import RunStudy
from tuning.engine.tuner import Stage, run_trials
from tuning.engine.watchers import watchers
from tuning.final import final_queue
from tuning.finalists import (
    Finalist,
    best_of,
    finalists,
    race_queue,
    ranked,
    seeds_queue,
    with_baseline,
)
from tuning.options import SearchOptions, seconds
from tuning.seeds import confirmation_seeds
from tuning.task import Task
from tuning.verdict import plan, verdict


class End(StrEnum):
    """How a search ended."""

    FINISHED = "finished"
    TIME_BUDGET = "time budget"
    TARGET_REACHED = "target reached"
    FAILED = "failed"


@dataclass
class Phases:
    """What all phases of one search share.

    Attributes:
        trainable: The task's trainable, with the data that all trials share.
        room: How many trials run at once.
        membership: The nodes that come and go; None on this machine alone.
        trained: The directory of the trials that are being trained now.
    """

    options: SearchOptions
    task: Task
    directory: RunDirectory
    study: RunStudy
    cluster: Cluster
    trainable: type[ResumableTrainable]
    patience: Patience
    room: Room
    membership: Membership | None

    def __post_init__(self) -> None:
        self.trained = self.directory

    def run(self, notes: Sequence[str]) -> End:
        """Do what is left of the search. ``notes``: lines that the plan shows the user."""
        ended = self.directory.outcomes()
        if not self.options.quiet:
            lines = plan(self.options, self.task, self.cluster, self.directory, ended, notes)
            print(lines, file=sys.stderr)
        end = self._search_and_confirm()
        self._race()
        field, best = self._finalists(), None
        if field:
            best = best_of(field, self.task.objective, self.task.goal, self.options.confirm)
        if best and self.task.final_steps:
            self._train_on(best)
        if best and self.options.ablation:
            self._ablate(best)
        ray_processes.shut_down()  # an interruption after the verdict has nothing left to end
        if best:
            self.patience(
                self._place(self.directory), lambda: write_best(self.directory, best, field)
            )
        print(verdict(self.options, self.task, self.directory, best, field))
        return end if best else End.FAILED

    def _search_and_confirm(self) -> End:
        """Search. With ``--target``, train the first trial that reaches it on fresh seeds at once,
        and search on if it misses the target there."""
        budget = self.options.time_budget
        deadline = time.monotonic() + seconds(budget) if budget else None
        while not self._holding():
            end = self._search(deadline)
            if end != End.TARGET_REACHED:
                return end
            for one in self._reaching():
                self._train_on_seeds(one)
                if self._holding():
                    break
        self._close(TARGET_REACHED)
        return End.TARGET_REACHED

    def _holding(self) -> list[Finalist]:
        """The trials that reach the target of ``--target`` on all fresh seeds."""
        if self.options.target is None:
            return []
        return [one for one in self._ranked() if one.holds(self.task.goal, self.options.confirm)]

    def _reaching(self) -> list[Finalist]:
        """The trials that have reached the target and have fresh seeds to be trained on."""
        if self.options.target is None:
            return []
        return [
            one
            for one in self._ranked()
            if one.ended in COMPLETE
            and self.task.goal.reached(one.last_row)
            and len(one.confirmations) < self.options.confirm
        ]

    def _search(self, deadline: float | None) -> End:
        ended, wanted = self.directory.outcomes(), self.options.num_samples
        if ended.total() >= wanted:
            self._close(NOT_ASKED_FOR)
            return End.FINISHED
        if self._reaching():
            return End.TARGET_REACHED
        self._tune(self._search_stage(ended, deadline))
        if self._reaching():
            return End.TARGET_REACHED
        cut_off = self._close(TIME_BUDGET if deadline else NOT_ASKED_FOR)
        # The time may also be over between two trials, when none is cut off.
        missing = self.directory.outcomes().total() < wanted
        return End.TIME_BUDGET if deadline and (cut_off or missing) else End.FINISHED

    def _search_stage(self, ended: Counter[str], deadline: float | None) -> Stage:
        options, task, run = self.options, self.task, self.directory
        wanted = options.num_samples
        searcher = StudySearch(
            options,
            task,
            run,
            self.study,
            trials_done=ended.total(),
            room=self.room,
            patience=self.patience,
        )
        return Stage(
            searcher,
            run,
            Progress(task, "trials", wanted, ended, best=self._best_so_far(), quiet=options.quiet),
            wanted,
            create_scheduler(options, task, run, searcher.start_up, searcher.room),
            time_budget_s=max(1.0, deadline - time.monotonic()) if deadline else None,
            target=task.goal if options.target is not None else None,
            keep=max(KEEP_WEIGHTS, options.finalists),
            membership=self.membership,
        )

    def _close(self, outcome: Outcome) -> bool:
        """Record how unfinished trials end, also in the study. Returns whether there were any."""
        cut = [(trial, record) for trial, record in self.directory.trials() if not record.ended]

        def close() -> None:
            for directory, record in cut:
                record.ended = outcome.name
                directory.write(record)
            self.study.close_running(outcome.name)

        self.patience("the run directory or the study's database", close)
        return bool(cut)

    def _ranked(self) -> list[Finalist]:
        return ranked(self.directory, self.options, self.task)

    def _finalists(self) -> list[Finalist]:
        """The finalists with their results on fresh seeds so far: with a target that is reached,
        the trial that reaches it; and always the best baseline."""
        every, holding = self._ranked(), self._holding()
        if holding:
            return with_baseline(holding[:1], every)
        return finalists(every, self.options.finalists)

    def _race(self) -> None:
        """Train the finalists on fresh seeds, stage by stage."""
        run = self.directory.confirmation()

        def queue() -> list[dict[str, Any]]:
            return race_queue(self._finalists(), run, self.options, self.task)

        while self._train_queue(queue, run, "confirm", "trainings on fresh seeds"):
            pass

    def _train_on_seeds(self, one: Finalist) -> None:
        """Train one trial's settings on all fresh seeds."""
        run = self.directory.confirmation()
        seeds = confirmation_seeds(self.options.seed, self.options.confirm)
        queue = partial(seeds_queue, [one], seeds, run, self.task)
        self._train_queue(queue, run, "confirm", f"fresh seeds for trial {one.number}")

    def _train_on(self, best: Finalist) -> None:
        """The winner's final training."""
        self._train_queue(
            lambda: final_queue(best, self.directory, self.task),
            self.directory.final(),
            "final",
            f"final training of trial {best.number}",
            resources=self.cluster.alone,
        )

    def _ablate(self, best: Finalist) -> None:
        """Train each configuration on the path from the hand-tuned settings to the winner's."""
        self._train_queue(
            lambda: ablation_queue(best, self.directory, self.options, self.task),
            self.directory.ablation(best.number),
            "ablation",
            f"changes from the hand-tuned settings to trial {best.number}",
        )

    def _train_queue(
        self,
        queue: Callable[[], list[dict[str, Any]]],
        run: RunDirectory,
        stage: str,
        title: str,
        resources: dict[str, float] | None = None,
    ) -> bool:
        """Train what a phase after the search has in its ``queue``; returns whether there was
        anything."""
        configs = self.patience(self._place(run), queue)
        if configs:
            quiet = self.options.quiet
            progress = Progress(self.task, title, len(configs), Counter(), stage=stage, quiet=quiet)
            searcher, trials = QueueSearcher(configs, run, self.room, self.patience), len(configs)
            members = self.membership
            self._tune(
                Stage(searcher, run, progress, trials, resources=resources, membership=members)
            )
        return bool(configs)

    def _tune(self, stage: Stage) -> None:
        self.patience(self._place(stage.run), lambda: check_writable(stage.run.path))
        stage.run.push()
        self.trained = stage.run
        trainable, task = self.trainable, self.task
        if stage.run is self.directory and self.options.seeds_per_trial > 1:
            trainable = several_seeds(trainable, task.objective, task.over_seeds, task.time_attr)
        stage = replace(
            stage, watchers=watchers(self.options, task, stage, self.room, self.patience)
        )
        if self.options.in_process:
            run_in_process(stage, trainable, task, self.patience)
        else:
            run_trials(stage, trainable, task, self.cluster, self.patience)

    def _best_so_far(self) -> Best | None:
        """The best trial of earlier sessions that converged or used its budget."""
        for best in self._ranked()[:1]:
            if best.ended in COMPLETE:
                objective, row = self.task.objective, best.last_row
                return Best(objective.loss(row), best.number, row["step"], row[objective.metric])
        return None

    @staticmethod
    def _place(run: RunDirectory) -> str:
        return f"the run directory {run.path}"
