"""One search from its options to its exit status: checks, directory, study, Ray, phases, errors.

All that a search knows is in the run directory and in the Optuna study. ``--resume`` starts a new
Ray Tune Tuner with what these two say is left.
"""

import contextlib
import shutil
import sys
from dataclasses import asdict

from command_line import UsageError, exit_usage_error
from records.commands import resume_command
from records.mirror import run_mirror
from records.places import from_here, is_uri, place_of
from records.run_directory import RunDirectory
from tuning.engine import cluster as ray_cluster
from tuning.engine.identity import open_run
from tuning.engine.in_process import this_process
from tuning.engine.membership import Membership
from tuning.engine.nodes import NodeCheck, check_nodes, sources
from tuning.engine.patience import Patience
from tuning.engine.ray_processes import ray_processes
from tuning.engine.room import Room
from tuning.engine.start_up import STARTUP_TRIALS, StartUp
from tuning.engine.study import RunStudy
from tuning.engine.tuner import drop_tune_state, set_up_libraries, with_shared_data
from tuning.finalists import DROPPED_AT, FIRST_SEEDS, MORE_SEEDS
from tuning.interruption import FAILED, NOTHING_BEGUN, early_exit
from tuning.options import SearchOptions, flag
from tuning.phases import End, Phases
from tuning.preflight import check_machine, check_space
from tuning.task import Prepared, Task
from tuning.trouble import failure_line, words, write_traceback

LAST_PUSH_S = 5.0
"""How long a search that ends early may take to bring its last records to a URI."""


class Search:
    """A search for ``task``, in the run directory that ``options`` name."""

    def __init__(self, options: SearchOptions, task: Task) -> None:
        self.options = options
        self.task = task
        self.in_session = False
        self.study: RunStudy | None = None
        self.phases: Phases | None = None
        self.prepared = Prepared(None, {})

    def run(self) -> int:
        """Run the search. Returns the exit status: 0 done, 1 failed.

        The process ends with status 2 on bad input or on a machine that cannot run the search, and
        with status 130 after an interruption.
        """
        set_up_libraries()
        try:
            check_space(self.options, self.task)
            check_machine(self.options, self.task)
            self.storage_existed = self.options.runs.exists()
            self.directory = self._open_directory()
            self.lock = self.directory.lock()
            self.directory.claim(self.options.resume)
        except UsageError as error:
            exit_usage_error(str(error))
        early_exit.last_words, early_exit.lost = self._last_words, ray_processes.lost
        try:
            self.phases = self._prepare()
        except (UsageError, ImportError) as error:
            self._discard_study()
            self._discard_directory()
            exit_usage_error(str(error) if isinstance(error, UsageError) else words(error))
        except Exception as error:
            return self._failed(error)
        try:
            if self.options.resume:
                self._start_session()
            self.directory.describe(self._about())
            end = self.phases.run(self.notes)
            self.directory.end_session(end)
            self.directory.close()
        except Exception as error:
            return self._failed(error)
        finally:
            ray_processes.shut_down()
        return FAILED if end == End.FAILED else 0

    def _prepare(self) -> Phases:
        """Open the study, prepare the shared data and start Ray, before the first trial."""
        options, task, run = self.options, self.task, self.directory
        patience = Patience(self._say)
        if run.mirror:
            run.mirror.waiting = patience
            run.mirror.keep_pushing()
        if not options.resume:  # so that a run that is killed from here on can be resumed
            self._start_session()
        self.study, self.notes = open_run(options, task, run, patience)
        if task.prepare:
            self.prepared = task.prepare(self._say, run.path)
        sent = sources(task.trainable.__module__)
        cluster = (
            this_process(options) if options.in_process else ray_cluster.connect(options, task)
        )
        room, members = Room(cluster.slots, options.max_concurrent, say=self._say), None
        if cluster.joined:
            check = NodeCheck(cluster, options, task, sent, place_of(run.path))
            members = Membership(cluster.trial_resources, room, check, self._say)
            check_nodes(check, members.nodes())
        in_ray = not options.in_process
        trainable = with_shared_data(task.trainable, self.prepared.shared, in_ray)
        return Phases(options, task, run, self.study, cluster, trainable, patience, room, members)

    def _open_directory(self) -> RunDirectory:
        path, place = self.options.run_path(), self.options.storage_path
        if is_uri(place):
            return RunDirectory.copied(path, run_mirror(place, path.name))
        return RunDirectory(path) if self.options.resume else RunDirectory.create(path)

    def _start_session(self) -> None:
        self.directory.start_session(self.options.experiment, asdict(self.options))
        self.in_session = True
        self.directory.push()

    def _last_words(self, lost: str | None) -> str:
        """Record that a signal, or what is ``lost``, ends the search. Returns the line to print."""
        try:
            if lost is None and not self._worth_resuming():
                self._discard_directory()
                return NOTHING_BEGUN
            with contextlib.suppress(OSError):
                if self.in_session:
                    self.directory.end_session("interrupted" if lost is None else "failed")
                drop_tune_state(self.phases.trained if self.phases else self.directory)
            left = self._leave_mirror()
            return self._interrupted_line(left) if lost is None else self._failure_line(lost + left)
        finally:
            ray_processes.kill()

    def _leave_mirror(self) -> str:
        """Push for the last time, in a few seconds; returns what to say if that is too short."""
        mirror = self.directory.mirror
        if mirror is None or mirror.leave(LAST_PUSH_S):
            return ""
        return f" (the last records are not at {mirror.uri} yet, but in {mirror.local})"

    def _interrupted_line(self, left: str) -> str:
        done = self.directory.outcomes().total()
        return (
            f"interrupted with {done} of {self.options.num_samples} trials done{left}; go on with:"
            f" {self._resume_command()}"
        )

    def _worth_resuming(self) -> bool:
        """Whether an earlier session, a trial or a study in the user's own database remains."""
        begun = any(self.directory.path.glob("trial_*"))
        return self.options.resume or begun or self.options.optuna_storage is not None

    def _failed(self, error: Exception) -> int:
        """Record that the search has failed, and print the cause in one line. The traceback is
        written into the run's failure.txt."""
        what, file = ray_processes.lost() or words(error), self.directory.path / "failure.txt"
        if write_traceback(error, file):
            what += f" (details in {from_here(file)})"
        with contextlib.suppress(OSError):  # the first error is the one to report
            if self.in_session:
                self.directory.end_session("failed")
        what += self._leave_mirror()
        early_exit.settle(FAILED)
        print(self._failure_line(what), file=sys.stderr, flush=True)
        return FAILED

    def _failure_line(self, what: str) -> str:
        return failure_line(
            f"{what}; finished trials are kept, go on with: {self._resume_command()}"
        )

    def _discard_study(self) -> None:
        """Remove the study of a run that never started from the user's own database, since it would
        keep its name."""
        if self.study is not None and not self.options.resume and self.options.optuna_storage:
            self.study.delete()

    def _discard_directory(self) -> None:
        """Remove the directory of a run that never started."""
        self.lock.release()
        if (mirror := self.directory.mirror) is not None:
            (mirror.leave if self.options.resume else mirror.discard)(LAST_PUSH_S)
        if not self.options.resume:
            shutil.rmtree(self.directory.path, ignore_errors=True)
            if not self.storage_existed:
                with contextlib.suppress(OSError):  # another run may be in it by now
                    self.directory.path.parent.rmdir()

    def _about(self) -> dict[str, object]:
        space = self.task.space
        return {
            "space": {name: parameter.record for name, parameter in space.parameters.items()},
            "fixed": {**space.fixed, **self.task.settings},
            "baselines": {name: dict(values) for name, values in space.baselines.items()},
            "objectives": [asdict(objective) for objective in self.task.objectives],
            "goal": asdict(self.task.goal),
            "time_attr": self.task.time_attr,
            "outcomes": [asdict(outcome) for outcome in self.task.trainable.outcomes],
            "rungs": self.task.rungs.steps(self.task.budget),
            "startup_trials": STARTUP_TRIALS,
            "methods": self._methods(),
            **self.prepared.about,
        }

    def _methods(self) -> dict[str, object]:
        """What a report says of the methods and cannot see in the trials."""
        warm_start = self.study.warm_start if self.study else ()
        return {
            "start_up_trials": StartUp(self.options, self.task, warm_start).count,
            "reduction_factor": self.task.rungs.reduction_factor,
            "protects_baselines": self.task.protect_baselines,
            "over_seeds": self.task.over_seeds,
            "race": {"first_seeds": FIRST_SEEDS, "more_seeds": MORE_SEEDS, "level": DROPPED_AT},
        }

    def _say(self, line: str) -> None:
        if not self.options.quiet:
            print(line, file=sys.stderr, flush=True)

    def _resume_command(self) -> str:
        kept = ("ablation", "in_process", "tensorboard")
        switches = [flag(one) for one in kept if getattr(self.options, one)]
        script, name = from_here(sys.argv[0]), self.directory.path.name
        return resume_command(script, name, self.options.storage_path, *switches)
