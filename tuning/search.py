"""One search from its options to its verdict: plan, trials, confirmation on fresh seeds, the winner's files.

Trials run through Ray Tune's Tuner with worker processes that are reused from trial to trial. What a search knows is in
the run directory and the Optuna study, never only in memory, so ``--resume`` starts a new Tuner over what they say is left.
"""

import contextlib
import logging
import os
import shutil
import sys
import time
import warnings
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import optuna
import ray
from ray import tune
from ray.tune import Callback
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from command_line import BadOptions, exit_bad_options, from_here
from trainables.trial import Trial
from tuning import cluster as ray_cluster
from tuning.ablation import ablation_queue
from tuning.capacity import Capacity
from tuning.confirmation import CANDIDATES, Candidate, QueueSearcher, candidates, confirmation_queue, winner
from tuning.experiment import Experiment, Prepared
from tuning.failure import Watch
from tuning.final import final_queue, final_training
from tuning.identity import open_run
from tuning.interruption import FAILED, NOTHING_BEGUN, early_exit
from tuning.nodes import check_nodes
from tuning.options import MAX_SAMPLES, SearchOptions, seconds
from tuning.patience import Patience, check_writable
from tuning.progress import Best, Progress
from tuning.ray_processes import ray_processes
from tuning.recorder import Recorder
from tuning.run_directory import (
    COMPLETE,
    CUT_OFF,
    NOT_ASKED_FOR,
    TARGET_REACHED,
    TIME_BUDGET,
    RunDirectory,
    TrialDirectory,
    resume_command,
    write_json,
)
from tuning.scheduler import RungScheduler, create_scheduler
from tuning.study import STARTUP_TRIALS, StudySearch, close_running
from tuning.target import Paused, TargetPause
from tuning.trouble import failure_line, words, write_traceback
from tuning.verdict import plan, verdict

SAMPLES = "gan_images"
"""A trial's folder of sample grids; the winner's is copied to the run's own."""

TUNE_ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # tuning.recorder writes the rows
    "TUNE_GLOBAL_CHECKPOINT_S": "inf",  # no snapshots of all trials, which grow with the search: none is ever read
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # the console says it in one line, error.txt in full
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # a trial that diverged has none
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}

TUNE_STATE = ("experiment_state-*.json", "search_gen_state-*.json", "searcher-state-*.pkl", "tuner.pkl", "trainable.pkl")
"""Ray Tune's own state, 17 kB a trial in every session: the run directory and the study are what a search goes on from."""


class Search:
    """A search over ``experiment``, in the run directory that ``options`` name."""

    def __init__(self, options: SearchOptions, experiment: Experiment) -> None:
        self.options = options
        self.experiment = experiment
        self.in_session = False
        self.study: optuna.Study | None = None

    def run(self) -> int:
        """Search, confirm, report. Returns the exit status: 0 done, 1 failed; 2 exits at once, and so does 130, interrupted."""
        os.environ.update(TUNE_ENVIRONMENT)
        _quiet_libraries()
        try:
            ray_cluster.check_machine(self.options, self.experiment)
            self.storage_existed = Path(self.options.storage_path).exists()
            self.directory = self._open_directory()
            self.tuned, self.lock = self.directory, self.directory.lock()
        except BadOptions as error:
            exit_bad_options(str(error))
        prepare = self.experiment.prepare
        early_exit.last_words, early_exit.lost = self._last_words, ray_processes.lost
        try:
            if not self.options.resume:  # now, so that a run which is killed while it prepares can be resumed
                self._start_session()
            self.patience = Patience(self._say)
            self.storage, self.study, self.notes = open_run(self.options, self.experiment, self.directory, self.patience)
            self.prepared = prepare(self._say, self.directory.path) if prepare else Prepared(None, {})
            self.cluster = ray_cluster.connect(self.options)
            if self.cluster.joined:
                check_nodes(self.cluster, self.options, self.experiment, self.directory.path)
        except (BadOptions, ImportError) as error:
            self._discard_study()
            self._discard_directory()
            exit_bad_options(str(error) if isinstance(error, BadOptions) else words(error))
        except Exception as error:
            return self._failed(error)
        try:
            self.trainable = _equipped(self.experiment.trainable, self.prepared.shared)
            if self.options.resume:
                self._start_session()
            self.directory.describe(self._about())
            how = self._run()
            self.directory.end_session(how)
        except Exception as error:
            return self._failed(error)
        finally:
            ray_processes.shut_down()
        return FAILED if how == "failed" else 0

    def _run(self) -> str:
        """Returns how it ended: finished, time budget, target reached or failed."""
        ended = self._ended()
        if not self.options.quiet:
            print(plan(self.options, self.experiment, self.cluster, self.directory, ended, self.notes), file=sys.stderr)
        how = self._search_and_confirm_candidates()
        ranked = self._candidates()
        tried = [candidate for candidate in ranked if candidate.confirmations] or ranked[:1]
        best = winner(tried, self.experiment.goal, self.options.confirm) if tried else None
        if best and self.experiment.final_steps:
            self._train_on(best)
        if best and self.options.ablation:
            self._ablate(best)
        ray_processes.shut_down()  # before the verdict: a search that is interrupted after it has nothing left to do
        if best is None:
            print(verdict(self.options, self.experiment, self.directory, []))
            return "failed"
        self.patience(f"the run directory {self.directory.path}", lambda: self._export(best, tried))
        print(verdict(self.options, self.experiment, self.directory, tried))
        return how

    def _search_and_confirm_candidates(self) -> str:
        """Search, then confirm; with ``--target``, confirm what reaches it at once, and search on where it does not hold."""
        budget = self.options.time_budget
        deadline = time.monotonic() + seconds(budget) if budget else None
        how = TARGET_REACHED
        while not self._target_holds():
            how = self._search(deadline)
            self._confirm_candidates()
            if how != TARGET_REACHED:
                return how
        self._close(TARGET_REACHED)
        return how

    def _target_holds(self) -> bool:
        goal, count = self.experiment.goal, self.options.confirm
        return self.options.target is not None and any(one.holds(goal, count) for one in self._candidates())

    def _reached(self) -> bool:
        """Whether a trial has reached the target and is still to be held against fresh seeds."""
        waiting = [one for one in self._candidates() if len(one.confirmations) < self.options.confirm]
        return self.options.target is not None and any(self.experiment.goal.reached(one.last_row) for one in waiting)

    def _search(self, deadline: float | None) -> str:
        ended = self._ended()
        if sum(ended.values()) >= self.options.num_samples:
            self._close(NOT_ASKED_FOR)
            return "finished"
        if self._reached():
            return TARGET_REACHED
        together = self.options.scheduler == "pbt"  # a population trains in turns: those without room are paused
        slots = self.options.num_samples if together else self.cluster.slots
        done = sum(ended.values())
        searcher = StudySearch(
            self.options, self.experiment, self.directory, self.storage, trials_done=done, slots=slots, patience=self.patience
        )
        scheduler = create_scheduler(self.options, self.experiment, self.directory, searcher.start_up, searcher.room)
        if isinstance(scheduler, RungScheduler):
            searcher.held = scheduler.held
        self._tune(
            searcher,
            scheduler,
            self.directory,
            Progress(
                self.experiment, "trials", self.options.num_samples, ended, best=self._best_so_far(), quiet=self.options.quiet
            ),
            max(1.0, deadline - time.monotonic()) if deadline else None,
            pause=TargetPause(self.experiment.goal) if self.options.target is not None else None,
            concurrent=self.options.num_samples,  # the searcher knows how many
        )
        if self._reached():
            return TARGET_REACHED
        cut_off = self._close(TIME_BUDGET if deadline else NOT_ASKED_FOR)
        missing = sum(self._ended().values()) < self.options.num_samples  # it may also end between two trials
        return TIME_BUDGET if deadline and (cut_off or missing) else "finished"

    def _close(self, ended: str) -> bool:
        """End the trials that were cut off, in their records and in the study; False where there are none."""
        cut = [(directory, record) for directory, record in self.directory.trials() if record.ended is None]
        study = self.study
        assert study is not None

        def close() -> None:
            for directory, record in cut:
                record.ended = ended
                directory.write(record)
            close_running(study, ended)

        self.patience("the run directory or the study's database", close)
        return bool(cut)

    def _candidates(self) -> list[Candidate]:
        """The trials that may be the winner, best first, with what they came to on fresh seeds so far."""
        most = CANDIDATES if self.options.target is None else MAX_SAMPLES
        ranked = candidates(self.directory, self.experiment, most)
        for candidate in ranked:
            candidate.read_confirmations(self.directory.confirmation(), self.options)
        return ranked

    def _confirm_candidates(self) -> None:
        """Train the candidates on fresh seeds, one after another until one holds."""
        for candidate in self._candidates():
            self._confirm(candidate)
            if candidate.holds(self.experiment.goal, self.options.confirm):
                break

    def _confirm(self, candidate: Candidate) -> None:
        """Train the candidate on the fresh seeds it has not been trained on yet."""
        run = self.directory.confirmation()
        queue = self.patience(
            f"the run directory {run.path}", lambda: confirmation_queue(candidate, run, self.options, self.experiment)
        )
        if queue:
            title = f"fresh seeds for trial {candidate.number}"
            done: Counter[str] = Counter(budget=self.options.confirm - len(queue))
            progress = Progress(self.experiment, title, self.options.confirm, done, stage="confirm", quiet=self.options.quiet)
            self._tune(QueueSearcher(queue, run, self.patience), FIFOScheduler(), run, progress)
        candidate.read_confirmations(run, self.options)

    def _train_on(self, best: Candidate) -> None:
        """The winner's final training."""
        queue = self.patience(
            f"the run directory {self.directory.path}", lambda: final_queue(best, self.directory, self.experiment)
        )
        if queue:
            title = f"final training of trial {best.number}"
            progress = Progress(self.experiment, title, 1, Counter(), stage="final", quiet=self.options.quiet)
            searcher, final = QueueSearcher(queue, self.directory.final(), self.patience), self.directory.final()
            self._tune(searcher, FIFOScheduler(), final, progress, resources=self.cluster.alone)

    def _ablate(self, best: Candidate) -> None:
        """Train the way from the hand-tuned settings to the winner's."""
        queue = self.patience(
            f"the run directory {self.directory.path}",
            lambda: ablation_queue(best, self.directory, self.options, self.experiment),
        )
        if queue:
            run = self.directory.ablation(best.number)
            title = f"changes from the hand-tuned settings to trial {best.number}"
            progress = Progress(self.experiment, title, len(queue), Counter(), stage="ablation", quiet=self.options.quiet)
            self._tune(QueueSearcher(queue, run, self.patience), FIFOScheduler(), run, progress)

    def _tune(
        self,
        searcher: StudySearch | QueueSearcher,
        scheduler: TrialScheduler,
        run: RunDirectory,
        progress: Progress,
        time_budget_s: float | None = None,
        resources: dict[str, float] | None = None,
        pause: TargetPause | None = None,
        concurrent: int | None = None,
    ) -> None:
        self.patience(f"the run directory {run.path}", lambda: check_writable(run.path))
        request = resources or self.cluster.trial_resources
        recorder, progress.capacity = Recorder(run, self.experiment.objective, self.patience), Capacity(request)
        callbacks: list[Callback] = [recorder, progress, progress.capacity, Watch(searcher), *([pause] if pause else [])]
        tuner = tune.Tuner(
            _with_resources(self.trainable, request),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                scheduler=scheduler,
                num_samples=-1,  # the searcher says when it has no more
                max_concurrent_trials=concurrent or self.cluster.slots,
                time_budget_s=time_budget_s,
                reuse_actors=True,
                trial_dirname_creator=trial_folder,
            ),
            run_config=tune.RunConfig(
                name=run.path.name,
                storage_path=str(run.path.parent),
                callbacks=callbacks,
                checkpoint_config=tune.CheckpointConfig(
                    checkpoint_frequency=self.experiment.checkpoint_every,
                    checkpoint_at_end=False,  # tuning.recorder asks for it where it will be kept
                ),
                failure_config=tune.FailureConfig(max_failures=0),  # the searcher hands out again what a dead worker lost
                verbose=0,
            ),
        )
        self.tuned = run
        # Ray prints some errors of its own; stdout is the verdict's.
        with contextlib.redirect_stdout(sys.stderr), early_exit.handlers_kept():
            try:
                with contextlib.suppress(Paused):
                    tuner.fit()
            finally:
                if self.patience.trouble:  # Ray Tune may have swallowed it
                    raise self.patience.trouble
        _drop_tune_state(run)

    def _export(self, winner: Candidate, tried: list[Candidate]) -> None:
        """Write ``best/``: the winner's config, figures, confirmations and weights; and what else its training made.

        Weights of another step than the figures are not exported.
        """
        best = self.directory.path / "best"
        trained = self.directory.trial(winner.number)
        final = final_training(winner, self.directory)
        last_row = final.rows()[-1] if final else winner.last_row
        write_json(best / "config.json", winner.config)
        write_json(best / "metrics.json", {**last_row, "trial": winner.number, "trained_on": final is not None})
        write_json(best / "confirmation.json", {"candidates": [one.summary() for one in tried]})
        (best / "model.safetensors").unlink(missing_ok=True)  # of an earlier winner
        checkpoint = (final or trained).checkpoint_at(last_row["step"])
        if checkpoint:
            shutil.copy2(checkpoint / "model.safetensors", best / "model.safetensors")
        shutil.rmtree(self.directory.path / SAMPLES, ignore_errors=True)  # of an earlier winner
        for directory in (trained, final) if final else (trained,):
            if (directory.path / SAMPLES).is_dir():
                shutil.copytree(directory.path / SAMPLES, self.directory.path / SAMPLES, dirs_exist_ok=True)

    def _open_directory(self) -> RunDirectory:
        if self.options.resume:
            return RunDirectory(Path(self.options.storage_path).absolute() / str(self.options.name))
        return RunDirectory.create(self.options)

    def _start_session(self) -> None:
        self.directory.start_session(self.options)
        self.in_session = True

    def _last_words(self, lost: str | None) -> str:
        """Record that the search ends here, at a signal or because of what is ``lost``; returns the line that says so."""
        try:
            if lost is None and not self._worth_resuming():
                self._discard_directory()
                return NOTHING_BEGUN
            with contextlib.suppress(OSError):
                if self.in_session:
                    self.directory.end_session("interrupted" if lost is None else "failed")
                _drop_tune_state(self.tuned)
            return self._interrupted_line() if lost is None else self._failure_line(lost)
        finally:
            ray_processes.kill()

    def _interrupted_line(self) -> str:
        done = sum(self._ended().values())
        return f"interrupted with {done} of {self.options.num_samples} trials done; go on with: {self._resume_command()}"

    def _worth_resuming(self) -> bool:
        """Whether there is more than a directory made a moment ago. A study in a database of the user's outlives that."""
        begun = any(self.directory.path.glob("trial_*"))
        return self.options.resume or begun or self.options.optuna_storage is not None

    def _failed(self, error: Exception) -> int:
        """Record that the search has failed and say why in one line; the traceback goes into the run's failure.txt."""
        what, file = ray_processes.lost() or words(error), self.directory.path / "failure.txt"
        if write_traceback(error, file):
            what += f" (details in {from_here(file)})"
        with contextlib.suppress(OSError):  # the first error is the one to say
            if self.in_session:
                self.directory.end_session("failed")
        early_exit.settle(FAILED)
        print(self._failure_line(what), file=sys.stderr, flush=True)
        return FAILED

    def _failure_line(self, what: str) -> str:
        return failure_line(f"{what}; finished trials are kept, go on with: {self._resume_command()}")

    def _discard_study(self) -> None:
        """Remove the study of a run that never started from a database of the user's, where its name would be taken."""
        if self.study is not None and not self.options.resume and self.options.optuna_storage:
            optuna.delete_study(study_name=self.study.study_name, storage=self.storage)

    def _discard_directory(self) -> None:
        """Remove the directory of a run that never started."""
        self.lock.release()
        if not self.options.resume:
            shutil.rmtree(self.directory.path)
            if not self.storage_existed:
                with contextlib.suppress(OSError):  # it holds another run since
                    self.directory.path.parent.rmdir()

    def _ended(self) -> Counter[str]:
        """How the trials of earlier sessions ended; those that the end of the search cut off are asked for again."""
        records = [record for _, record in self.directory.trials()]
        return Counter(r.ended for r in records if r.ended is not None and r.ended not in CUT_OFF)

    def _best_so_far(self) -> Best | None:
        """Of the trials of earlier sessions that ended by themselves."""
        for best in candidates(self.directory, self.experiment)[:1]:
            if best.ended in COMPLETE:
                objective, row = self.experiment.objective, best.last_row
                return Best(objective.loss(row), best.number, row["step"], row[objective.metric])
        return None

    def _about(self) -> dict[str, object]:
        space = self.experiment.space
        return {
            "space": {
                name: {"distribution": str(p.distribution), "reason": p.reason, "only_if": p.only_if, "perturbed": p.perturbed}
                for name, p in space.parameters.items()
            },
            "fixed": {**space.fixed, **self.experiment.settings},
            "known": {name: dict(values) for name, values in space.known.items()},
            "objectives": [asdict(objective) for objective in self.experiment.objectives],
            "goal": asdict(self.experiment.goal),
            "time_attr": self.experiment.time_attr,
            "rungs": self.experiment.rungs.steps(self.experiment.budget),
            "startup_trials": STARTUP_TRIALS,
            **self.prepared.about,
        }

    def _say(self, line: str) -> None:
        if not self.options.quiet:
            print(line, file=sys.stderr, flush=True)

    def _resume_command(self) -> str:
        return resume_command(from_here(sys.argv[0]), self.directory.path.name, self.options.storage_path)


def _equipped(trainable: type[Trial], shared: object) -> type[Trial]:
    """The trainable with what all its trials share in Ray's object store: sent to a node once, not to every trial."""
    content = {"__module__": trainable.__module__, **({} if shared is None else {"shared": ray.put(shared)})}
    return type(trainable.__name__, (trainable,), content)


def trial_folder(trial: Any) -> str:
    """A trial's folder, whichever of its lives this is: Ray Tune would give one that goes on after a loss another name."""
    name = f"trial_{trial.config['trial']:04d}"
    trial.relative_logdir = trial.storage.trial_dir_name = name
    return name


def _with_resources(trainable: type[Trial], resources: dict[str, float]) -> type[Trial]:
    """The trainable with its resources, under its own name: ``tune.with_resources`` renames the class in the dashboard."""
    request = tune.PlacementGroupFactory([resources])
    method = classmethod(lambda cls, config: request)
    return type(trainable.__name__, (trainable,), {"default_resource_request": method, "__module__": trainable.__module__})


def _drop_tune_state(run: RunDirectory) -> None:
    """Remove what Ray Tune has left in the run directory, with its word on failures that did not end a trial."""
    for pattern in TUNE_STATE:
        for file in run.path.glob(pattern):
            file.unlink(missing_ok=True)
    for file in run.path.glob("trial_*/error.*"):
        record = TrialDirectory(file.parent).read()
        if file.name == "error.pkl" or (record is not None and record.error is None):
            file.unlink(missing_ok=True)


def _quiet_libraries() -> None:
    """The console is ours: what Ray and Optuna would print beside it is either in our lines or in Ray's log files."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for name in ("ray.tune", "ray.train", "ray.air"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    warnings.filterwarnings("ignore", category=FutureWarning, module="ray")
