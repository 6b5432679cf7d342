"""The phases of a search, one after another: trials, confirmation on fresh seeds, extended
training, ablation, ``best/``.

Each continues where an earlier session was interrupted, and does nothing if it is done. An
interruption ends the process (``tuning.interruption``), so a phase either returns or raises.
"""

import shutil
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import optuna
from optuna.storages import RDBStorage
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from records.outcome import COMPLETE, CUT_OFF, NOT_ASKED_FOR, TARGET_REACHED, TIME_BUDGET, Outcome
from records.run_directory import RunDirectory
from records.store import write_json
from trainables.resumable import ResumableTrainable
from tuning.ablation import ablation_queue
from tuning.confirmation import CANDIDATES, Candidate, candidates, confirmation_queue, winner
from tuning.engine.asha import create_scheduler
from tuning.engine.cluster import Cluster
from tuning.engine.queue_searcher import QueueSearcher
from tuning.engine.ray_processes import ray_processes
from tuning.engine.searcher import StudySearch
from tuning.engine.study import close_running
from tuning.engine.target import TargetPause
from tuning.engine.tuner import Stage, run_trials
from tuning.final import final_queue, final_training
from tuning.in_process import run_in_process
from tuning.options import MAX_SAMPLES, SearchOptions, seconds
from tuning.patience import Patience, check_writable
from tuning.progress import Best, Progress
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
        trainable: The task's, with what its trials share.
        trained: The directory of the trials that are being trained, for whoever has to clean up.
    """

    options: SearchOptions
    task: Task
    directory: RunDirectory
    storage: RDBStorage
    study: optuna.Study
    cluster: Cluster
    trainable: type[ResumableTrainable]
    patience: Patience
    trained: RunDirectory

    def run(self, notes: Sequence[str]) -> End:
        """Do what is left of the search. ``notes``: what the plan tells the user."""
        ended = finished_trials(self.directory)
        if not self.options.quiet:
            print(
                plan(self.options, self.task, self.cluster, self.directory, ended, notes),
                file=sys.stderr,
            )
        how = self._search_and_confirm_candidates()
        ranked = self._candidates()
        tried = [candidate for candidate in ranked if candidate.confirmations] or ranked[:1]
        best = winner(tried, self.task.goal, self.options.confirm) if tried else None
        if best and self.task.final_steps:
            self._train_on(best)
        if best and self.options.ablation:
            self._ablate(best)
        ray_processes.shut_down()  # before the verdict: a search that is interrupted after it has nothing left to do
        if best is None:
            print(verdict(self.options, self.task, self.directory, []))
            return End.FAILED
        self.patience(f"the run directory {self.directory.path}", lambda: self._export(best, tried))
        print(verdict(self.options, self.task, self.directory, tried))
        return how

    def _search_and_confirm_candidates(self) -> End:
        """Search, then confirm; with ``--target``, confirm what reaches it at once, and search on where it does not hold."""
        budget = self.options.time_budget
        deadline = time.monotonic() + seconds(budget) if budget else None
        how = End.TARGET_REACHED
        while not self._target_holds():
            how = self._search(deadline)
            self._confirm_candidates()
            if how != End.TARGET_REACHED:
                return how
        self._close(TARGET_REACHED)
        return how

    def _target_holds(self) -> bool:
        goal, count = self.task.goal, self.options.confirm
        return self.options.target is not None and any(
            one.holds(goal, count) for one in self._candidates()
        )

    def _reached(self) -> bool:
        """Whether a trial has reached the target and is still to be held against fresh seeds."""
        waiting = [
            one for one in self._candidates() if len(one.confirmations) < self.options.confirm
        ]
        return self.options.target is not None and any(
            self.task.goal.reached(one.last_row) for one in waiting
        )

    def _search(self, deadline: float | None) -> End:
        ended = finished_trials(self.directory)
        if sum(ended.values()) >= self.options.num_samples:
            self._close(NOT_ASKED_FOR)
            return End.FINISHED
        if self._reached():
            return End.TARGET_REACHED
        pooled = (
            self.options.synchronous
        )  # a population trains in turns: those without room are paused
        slots = self.options.num_samples if pooled else self.cluster.slots
        done = sum(ended.values())
        searcher = StudySearch(
            self.options,
            self.task,
            self.directory,
            self.storage,
            trials_done=done,
            slots=slots,
            patience=self.patience,
        )
        scheduler = create_scheduler(
            self.options, self.task, self.directory, searcher.start_up, searcher.room
        )
        self._tune(
            searcher,
            scheduler,
            self.directory,
            Progress(
                self.task,
                "trials",
                self.options.num_samples,
                ended,
                best=self._best_so_far(),
                quiet=self.options.quiet,
            ),
            time_budget_s=max(1.0, deadline - time.monotonic()) if deadline else None,
            pause=TargetPause(self.task.goal) if self.options.target is not None else None,
            concurrent=self.options.num_samples,  # the searcher knows how many
        )
        if self._reached():
            return End.TARGET_REACHED
        cut_off = self._close(TIME_BUDGET if deadline else NOT_ASKED_FOR)
        missing = (
            sum(finished_trials(self.directory).values()) < self.options.num_samples
        )  # it may also end between two trials
        return End.TIME_BUDGET if deadline and (cut_off or missing) else End.FINISHED

    def _close(self, outcome: Outcome) -> bool:
        """End the trials that were cut off, in their records and in the study; False if there are none."""
        cut = [
            (directory, record)
            for directory, record in self.directory.trials()
            if record.ended is None
        ]

        def close() -> None:
            for directory, record in cut:
                record.ended = outcome.name
                directory.write(record)
            close_running(self.study, outcome.name)

        self.patience("the run directory or the study's database", close)
        return bool(cut)

    def _candidates(self) -> list[Candidate]:
        """The trials that may be the winner, best first, with what they came to on fresh seeds so far."""
        most = CANDIDATES if self.options.target is None else MAX_SAMPLES
        ranked = candidates(self.directory, self.task, most)
        for candidate in ranked:
            candidate.read_confirmations(self.directory.confirmation(), self.options)
        return ranked

    def _confirm_candidates(self) -> None:
        """Train the candidates on fresh seeds, one after another until one holds."""
        for candidate in self._candidates():
            self._confirm(candidate)
            if candidate.holds(self.task.goal, self.options.confirm):
                break

    def _confirm(self, candidate: Candidate) -> None:
        """Train the candidate on the fresh seeds it has not been trained on yet."""
        run = self.directory.confirmation()
        queue = self.patience(
            f"the run directory {run.path}",
            lambda: confirmation_queue(candidate, run, self.options, self.task),
        )
        if queue:
            title = f"fresh seeds for trial {candidate.number}"
            done: Counter[str] = Counter(budget=self.options.confirm - len(queue))
            progress = Progress(
                self.task,
                title,
                self.options.confirm,
                done,
                stage="confirm",
                quiet=self.options.quiet,
            )
            self._tune(QueueSearcher(queue, run, self.patience), FIFOScheduler(), run, progress)
        candidate.read_confirmations(run, self.options)

    def _train_on(self, best: Candidate) -> None:
        """The winner's final training."""
        queue = self.patience(
            f"the run directory {self.directory.path}",
            lambda: final_queue(best, self.directory, self.task),
        )
        if queue:
            title = f"final training of trial {best.number}"
            progress = Progress(
                self.task, title, 1, Counter(), stage="final", quiet=self.options.quiet
            )
            searcher, final = (
                QueueSearcher(queue, self.directory.final(), self.patience),
                self.directory.final(),
            )
            self._tune(searcher, FIFOScheduler(), final, progress, resources=self.cluster.alone)

    def _ablate(self, best: Candidate) -> None:
        """Train the way from the hand-tuned settings to the winner's."""
        queue = self.patience(
            f"the run directory {self.directory.path}",
            lambda: ablation_queue(best, self.directory, self.options, self.task),
        )
        if queue:
            run = self.directory.ablation(best.number)
            title = f"changes from the hand-tuned settings to trial {best.number}"
            progress = Progress(
                self.task, title, len(queue), Counter(), stage="ablation", quiet=self.options.quiet
            )
            self._tune(QueueSearcher(queue, run, self.patience), FIFOScheduler(), run, progress)

    def _tune(
        self,
        searcher: StudySearch | QueueSearcher,
        scheduler: TrialScheduler,
        run: RunDirectory,
        progress: Progress,
        **limits: Any,
    ) -> None:
        """Train the searcher's trials (see ``run_trials``)."""
        self.patience(f"the run directory {run.path}", lambda: check_writable(run.path))
        self.trained = run
        stage = Stage(searcher, scheduler, run, progress, **limits)
        if self.options.in_process:
            run_in_process(stage, self.trainable, self.task, self.patience)
        else:
            run_trials(stage, self.trainable, self.task, self.cluster, self.patience)

    def _best_so_far(self) -> Best | None:
        """Of the trials of earlier sessions that ended by themselves."""
        for best in candidates(self.directory, self.task)[:1]:
            if best.ended in COMPLETE:
                objective, row = self.task.objective, best.last_row
                return Best(objective.loss(row), best.number, row["step"], row[objective.metric])
        return None

    def _export(self, winner: Candidate, tried: list[Candidate]) -> None:
        """Write ``best/``: the winner's config, figures, confirmations and weights; and what else
        its training made.

        Weights of another step than the figures are not exported.
        """
        best = self.directory.path / "best"
        trained = self.directory.trial(winner.number)
        final = final_training(winner, self.directory)
        last_row = final.rows()[-1] if final else winner.last_row
        write_json(best / "config.json", winner.config)
        write_json(
            best / "metrics.json",
            {**last_row, "trial": winner.number, "trained_on": final is not None},
        )
        write_json(best / "confirmation.json", {"candidates": [one.summary() for one in tried]})
        (best / "model.safetensors").unlink(missing_ok=True)  # of an earlier winner
        checkpoint = (final or trained).checkpoint_at(last_row["step"])
        if checkpoint:
            shutil.copy2(checkpoint / "model.safetensors", best / "model.safetensors")
        made = [
            folder for directory in (trained, final) if directory for folder in directory.made()
        ]
        for folder in made:
            shutil.rmtree(
                self.directory.path / folder.name, ignore_errors=True
            )  # of an earlier winner
        for folder in made:
            shutil.copytree(folder, self.directory.path / folder.name, dirs_exist_ok=True)


def finished_trials(run: RunDirectory) -> Counter[str]:
    """How the trials of earlier sessions ended; those that the end of the search cut off are asked for again."""
    records = [record for _, record in run.trials()]
    return Counter(
        record.ended
        for record in records
        if record.ended is not None and record.ended not in CUT_OFF
    )
