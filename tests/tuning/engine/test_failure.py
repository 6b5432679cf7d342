"""Workers that die in real Ray, while a trial runs or between two trials; trials that raise."""

import contextlib
import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import ray
import torch
from optuna.trial import TrialState
from ray import exceptions, tune
from ray.tune import Callback, TuneError

from records.run_directory import RunDirectory
from tests.conftest import ROOT, environment
from tests.support.searched import open_study
from tests.tuning.conftest import tune_run
from trainables.resumable import SaveFailed
from tune_lstm import LSTMOptions
from tuning.engine.failure import OUT_OF_GPU_MEMORY, Blame, NotTheTrials, blamed
from tuning.engine.patience import Patience
from tuning.engine.retries import TrialListCallback
from tuning.engine.room import Room
from tuning.engine.searcher import StudySearch
from tuning.engine.tuner import TUNE_ENVIRONMENT
from tuning.task import Task
from tuning.trouble import Trouble


class Mortal(tune.Trainable):
    """Trial 2 kills its first worker, 3 raises, 4 raises before it begins, 5 kills every worker.

    The others just end.
    """

    def setup(self, config: dict[str, Any]) -> None:
        self.config = config
        if config["trial"] == 4:
            raise ValueError("no room")

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        if self.config["trial"] == 5 or (self.config["trial"] == 2 and "lost" not in self.config):
            os.kill(os.getpid(), signal.SIGKILL)
        if self.config["trial"] == 3:
            raise ValueError("bad luck")
        return {"step": 100, "mean_accuracy": 0.5, "ended": "budget", "done": True}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        pass

    def load_checkpoint(self, checkpoint: Any) -> None:
        pass


class KillBetween(Callback):
    """Kills the worker that trial 0 ended in, while it waits for the next one."""

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        if trial.config["trial"] == 0:
            os.kill(trial.last_result["pid"], signal.SIGKILL)
            time.sleep(0.5)


@pytest.mark.slow
def test_what_a_dead_worker_lost_is_handed_out_again_and_an_own_exception_is_final(
    local_ray: Callable[[int], None], options: LSTMOptions, task: Task, directory: RunDirectory
) -> None:
    mine = LSTMOptions(
        name="run", storage_path=options.storage_path, num_samples=7, sampler="random"
    )
    searcher = StudySearch(
        mine, task, directory, open_study(mine, task, directory), trials_done=0, room=Room(1)
    )
    local_ray(1)
    callbacks = [KillBetween(), TrialListCallback(searcher)]
    tune_run(Mortal, directory, task, callbacks, search_alg=searcher, max_concurrent_trials=1)
    trials = searcher.study.trials
    assert [trial.number for trial in trials] == list(range(7))
    failed = {trial.number for trial in trials if trial.state == TrialState.FAIL}
    assert failed == {3, 4, 5}
    assert {trial.state for trial in trials if trial.number not in failed} == {TrialState.COMPLETE}
    records = {record.number: record for _, record in directory.trials()}
    assert [records[number].ended for number in range(7)] == ["budget"] * 3 + ["error"] * 3 + [
        "budget"
    ]
    assert records[3].error == "ValueError: bad luck"
    assert records[4].error == "ValueError: no room"
    assert "ValueError: bad luck" in (directory.trial(3).path / "error.txt").read_text()
    optuna_seeds = [trial.user_attrs["seed"] for trial in trials]
    assert optuna_seeds == [records[number].config["seed"] for number in range(7)]


class Unsaveable(Mortal):
    """Trials that end well, and whose weights cannot be saved."""

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        raise SaveFailed("a checkpoint cannot be saved: No space left on device")


@pytest.mark.slow
def test_an_outcome_outlives_weights_that_cannot_be_saved(
    local_ray: Callable[[int], None], options: LSTMOptions, task: Task, directory: RunDirectory
) -> None:
    mine = LSTMOptions(
        name="run", storage_path=options.storage_path, num_samples=2, sampler="random"
    )
    searcher = StudySearch(
        mine, task, directory, open_study(mine, task, directory), trials_done=0, room=Room(1)
    )
    local_ray(1)
    tune_run(
        Unsaveable,
        directory,
        task,
        [TrialListCallback(searcher)],
        search_alg=searcher,
        max_concurrent_trials=1,
    )
    assert [(trial.state, trial.user_attrs["ended"]) for trial in searcher.study.trials] == [
        (TrialState.COMPLETE, "budget")
    ] * 2
    for _, record in directory.trials():
        assert (record.ended, record.error) == (
            "budget",
            "trainables.resumable.SaveFailed: a checkpoint cannot be saved:"
            " No space left on device",
        )


class Unready(tune.Trainable):
    """Fails ``after`` so many reports, in its setup if 0, with the trial's entry in ``errors``.

    A trial without an entry ends at its third report.
    """

    errors: ClassVar[dict[int, str]]
    after: ClassVar[int]

    def setup(self, config: dict[str, Any]) -> None:
        self.config = config
        self.fail_if_due(0)

    def fail_if_due(self, reports: int) -> None:
        error = self.errors.get(self.config["trial"])
        if error and reports == self.after:
            raise RuntimeError(error)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        self.fail_if_due(self.iteration)
        ended = "budget" if self.iteration == 2 else None
        step = 100 * (self.iteration + 1)
        return {"step": step, "mean_accuracy": 0.5, "ended": ended, "done": bool(ended)}


@pytest.mark.slow
@pytest.mark.parametrize("after", [0, 2])
def test_three_trials_that_fail_alike_end_a_search_unless_one_differs_or_works(
    after: int, local_ray: Callable[[int], None], options: LSTMOptions, task: Task
) -> None:
    local_ray(1)

    def ended(name: str, errors: dict[int, str]) -> tuple[list[str | None], str]:
        mine = replace(options, name=name, num_samples=5, sampler="random")
        run = RunDirectory.create(mine.run_path())
        run.start_session(mine.experiment, asdict(mine))
        patience = Patience()
        searcher = StudySearch(
            mine,
            task,
            run,
            open_study(mine, task, run),
            trials_done=0,
            room=Room(1),
            patience=patience,
        )
        trainable = type("Unready", (Unready,), {"errors": errors, "after": after})
        with contextlib.suppress(Trouble, TuneError):  # Ray Tune may wrap it, or swallow it
            tune_run(
                trainable,
                run,
                task,
                [TrialListCallback(searcher)],
                search_alg=searcher,
                max_concurrent_trials=1,
            )
        return [record.ended for _, record in run.trials()], str(patience.trouble or "")

    alike = dict.fromkeys(range(5), "no libgomp")
    trials, trouble = ended("alike", alike)
    assert trouble == "the first 3 trials all failed: RuntimeError: no libgomp"
    assert len(trials) == 3
    assert ended("one-differs", alike | {1: "no luck"}) == (["error"] * 5, "")
    works = {number: error for number, error in alike.items() if number != 2}
    assert ended("one-works", works) == (["error", "error", "budget", "error", "error"], "")


OUT_OF_MEMORY = (
    "CUDA out of memory. Tried to allocate {} MiB. GPU 0 has a total capacity of 79.10 GiB of which"
    " 3.06 MiB is free. Including non-PyTorch memory, this process has 9.89 GiB memory in use. Of"
    " the allocated memory 9.29 GiB is allocated by PyTorch, and 117.43 MiB is reserved by PyTorch"
    " but unallocated. If reserved but unallocated memory is large try setting"
    " PYTORCH_ALLOC_CONF=expandable_segments:True to avoid fragmentation.  See documentation for"
    " Memory Management "
    " (https://docs.pytorch.org/docs/stable/notes/cuda.html#optimizing-memory-usage-with-pytorch-alloc-conf)"
)
"""torch's own words, with the number of bytes left open."""


class Hungry(Mortal):
    """Trial 1 needs more memory than its share of the GPU for its setup, and trial 2 for a step."""

    def setup(self, config: dict[str, Any]) -> None:
        self.config = config
        if config["trial"] == 1:
            raise torch.OutOfMemoryError(OUT_OF_MEMORY.format(20))

    def step(self) -> dict[str, Any]:
        if self.config["trial"] == 2:
            raise torch.OutOfMemoryError(OUT_OF_MEMORY.format(30))
        return {"step": 100, "mean_accuracy": 0.5, "ended": "budget", "done": True}

    @classmethod
    def default_resource_request(cls, config: dict[str, Any]) -> tune.PlacementGroupFactory:
        return tune.PlacementGroupFactory([{"CPU": 1, "GPU": 0.5}])


@pytest.mark.slow
def test_a_trial_without_enough_gpu_memory_fails_once_and_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, options: LSTMOptions, task: Task, directory: RunDirectory
) -> None:
    for name, value in TUNE_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    mine = replace(options, num_samples=4, sampler="random")
    searcher = StudySearch(
        mine, task, directory, open_study(mine, task, directory), trials_done=0, room=Room(1)
    )
    ray.init("local", num_cpus=1, num_gpus=1, include_dashboard=False, log_to_driver=False)
    try:
        callbacks = [TrialListCallback(searcher)]
        tune_run(Hungry, directory, task, callbacks, search_alg=searcher, max_concurrent_trials=1)
    finally:
        ray.shutdown()
    complete, fail = TrialState.COMPLETE, TrialState.FAIL
    assert [trial.state for trial in searcher.study.trials] == [complete, fail, fail, complete]
    for number, needed in ((1, 20), (2, 30)):
        trial = directory.trial(number)
        record = trial.read()
        assert record is not None
        assert (record.ended, record.error) == (
            "error",
            "CUDA out of memory: lower --set batch_size, or raise --gpus-per-trial",
        )
        assert OUT_OF_MEMORY.format(needed) in (trial.path / "error.txt").read_text()


SEARCH = """
import sys
from dataclasses import replace

from trainables.lstm.trainable import LSTMTrial
from tune_lstm import LSTMOptions, lstm_task
from tuning.search import Search


class Unready(LSTMTrial):
    def setup(self, config):
        raise RuntimeError("no libgomp")


options = LSTMOptions(num_samples=9, name="unready", no_dashboard=True)
sys.exit(Search(options, replace(lstm_task(options), trainable=Unready)).run())
"""


@pytest.mark.slow
def test_a_search_whose_first_setups_fail_alike_ends_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "tune.py").write_text(SEARCH)
    command, variables = [sys.executable, "tune.py"], {**environment(), "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        command,
        cwd=tmp_path,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    line = result.stderr.splitlines()[-1]
    assert line.startswith("tune.py: the first 3 trials all failed: RuntimeError: no libgomp")
    assert "--resume --name unready" in line
    assert len(list(tmp_path.glob("runs/unready/trial_*"))) <= 5


SEARCH_OUT_OF_MEMORY = """
import sys
from dataclasses import replace

import torch
from trainables.lstm.trainable import LSTMTrial
from tune_lstm import LSTMOptions, lstm_task
from tuning.search import Search


hungry = range(*map(int, sys.argv[1:]))


class Hungry(LSTMTrial):
    def advance(self):
        trial = self.config["trial"]
        if self.step_number > 150 and trial in hungry:
            raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {trial}.00 MiB.")
        return super().advance()


options = LSTMOptions(
    num_samples=5, name="hungry", input_length=3, max_steps=200, confirm=0, no_dashboard=True,
    max_concurrent=1,
)
sys.exit(Search(options, replace(lstm_task(options), trainable=Hungry)).run())
"""


@pytest.mark.slow
@pytest.mark.parametrize(("first", "status"), [(1, 0), (0, 1)])
def test_a_search_goes_on_after_trials_without_gpu_memory_unless_all_are(
    first: int, status: int, tmp_path: Path
) -> None:
    (tmp_path / "tune.py").write_text(SEARCH_OUT_OF_MEMORY)
    result = subprocess.run(
        [sys.executable, "tune.py", str(first), "3"],
        cwd=tmp_path,
        env={**environment(), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert result.returncode == status, result.stderr
    assert "Traceback" not in result.stderr
    cause = "CUDA out of memory: lower --set batch_size"
    lines = result.stderr.splitlines()
    if first:
        assert sum(line.strip() == cause for line in lines) == 2
        run = RunDirectory(tmp_path / "runs/hungry")
        ends = [record.ended for _, record in run.trials()]
        assert ends == ["budget", "error", "error", "budget", "budget"]
    else:
        assert lines[-1].startswith(f"tune.py: the first 3 trials all failed: {cause} (details in ")
        assert "--resume --name hungry" in lines[-1]


def raised(error: Exception, traceback: str = "") -> Exception:
    """As a trainable's method raises it."""
    return exceptions.RayTaskError("step", traceback, error)


@pytest.mark.parametrize(
    ("error", "blame"),
    [
        (exceptions.ActorDiedError(), "machine"),
        (exceptions.ActorUnavailableError("gone for now", None), "machine"),
        (exceptions.NodeDiedError("gone"), "machine"),
        (exceptions.LocalRayletDiedError(), "machine"),
        (exceptions.ObjectStoreFullError(), "machine"),
        (exceptions.GetTimeoutError(), "machine"),
        (raised(exceptions.ActorDiedError()), "machine"),
        (NotTheTrials("Error starting trial"), "machine"),
        (
            exceptions.OutOfMemoryError("Task was killed due to the node running low on memory."),
            "memory",
        ),
        (NotTheTrials("Task was killed due to the node running low on memory."), "memory"),
        (raised(SaveFailed("a checkpoint cannot be saved")), "storage"),
        (raised(OSError(errno.ENOSPC, "No space left on device")), "storage"),
        (raised(OSError(errno.EDQUOT, "Disk quota exceeded")), "storage"),
        (
            raised(
                PermissionError(errno.EPERM, "no"),
                'File "/x/ray/train/_internal/storage.py", line 1',
            ),
            "storage",
        ),
        (raised(FileNotFoundError(errno.ENOENT, "data.csv")), "trial"),
        (raised(FileNotFoundError(), "in _setup_logdir: os.getcwd()"), "machine"),
        (raised(ValueError("own")), "trial"),
        (raised(MemoryError("own")), "trial"),
        (raised(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")), "trial"),
        (
            exceptions.ActorDiedError(exceptions.RayTaskError("__init__", "", ValueError("own"))),
            "trial",
        ),
    ],
)
def test_whose_failure_an_error_is(error: Exception, blame: Blame) -> None:
    assert blamed(error) == blame


@pytest.mark.parametrize(
    ("last", "is_one"),
    [
        (f"torch.OutOfMemoryError: {OUT_OF_MEMORY}", True),
        ("torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB", True),
        (
            "torch.AcceleratorError: CUDA error: out of memory\n"
            "CUDA kernel errors might be asynchronously reported at some other API call,",
            True,
        ),
        (
            "RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"
            " `cublasCreate(handle)`",
            True,
        ),
        ("RuntimeError: CUDA error: device-side assert triggered", False),
        ("ray.exceptions.OutOfMemoryError: Task was killed due to the node running low", False),
        ("MemoryError: out of memory", False),
    ],
)
def test_what_counts_as_out_of_gpu_memory(last: str, is_one: bool) -> None:
    text = f'  File "trainable.py", line 9, in step\n    y = model(x)\n{last}'
    assert bool(OUT_OF_GPU_MEMORY.search(text)) == is_one
