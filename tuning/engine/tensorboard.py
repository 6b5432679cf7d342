"""``--tensorboard``: event files of a run's trials, with the metrics of their reports by step and
the varied settings as TensorBoard's hyperparameters.

``result.json`` is the record. When a trial begins or goes on, a new event file begins with all that
is there and replaces older files for a reader, so that no report is missing or seen twice. The file
then grows with every report. Ray Tune's own TensorBoard logger counts reports instead of steps, and
shows the reports of a resumed trial twice.
Source: https://github.com/tensorflow/tensorboard/tree/master/tensorboard/plugins/hparams
"""

import contextlib
import itertools
import math
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial
from tensorboardX.proto.api_pb2 import Status
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.plugin_hparams_pb2 import (
    HParamsPluginData,
    SessionEndInfo,
    SessionStartInfo,
)
from tensorboardX.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboardX.record_writer import RecordWriter

from records.outcome import outcome_of
from records.run_directory import RunDirectory
from records.trial_directory import TrialDirectory
from search_spaces import SearchSpace
from trainables.resumable import RECORD_EVERY
from tuning.engine.patience import Patience
from tuning.engine.recorder import RAY_CONSTANTS

FOLDER = "tensorboard"
"""The folder in a run directory. In it, each trial has a folder with its event file."""

NO_METRICS = (*RAY_CONSTANTS, "step", "timestamp")


class TensorBoard(Callback):
    """Writes the event files of the trials of ``run``, after the recorder has written its own."""

    def __init__(self, run: RunDirectory, space: SearchSpace, patience: Patience) -> None:
        self._run, self._space, self._patience = run, space, patience
        self._open: dict[int, RecordWriter] = {}

    def __getstate__(self) -> dict[str, object]:
        return {}  # Ray pickles its callbacks; an open file cannot be

    def setup(self, *arguments: Any, **info: Any) -> None:
        """Write the trials that ended in a session without ``--tensorboard``."""
        for directory, record in self._run.trials():
            if record.ended and not (self._run.path / FOLDER / directory.path.name).exists():
                self._write(record.number, record.config)
                self._close(record.number)

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        self._write(trial.config["trial"], trial.config, result)

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        self._close(trial.config["trial"])

    on_trial_error = on_trial_complete

    def _write(self, number: int, config: Mapping[str, Any], *new: Mapping[str, Any]) -> None:
        """Add new reports to the trial's file, or begin a file with all that it has reported."""

        def write() -> None:
            begun = number in self._open
            directory = self._run.trial(number)
            events = map(_points, new) if begun else [self._begin(directory, config, *new)]
            try:
                _append(self._open[number], itertools.chain.from_iterable(events))
            except OSError:
                del self._open[number]  # the next try begins a new file
                raise

        self._patience(f"the run directory {self._run.path}", write)

    def _begin(
        self, directory: TrialDirectory, config: Mapping[str, Any], *new: Mapping[str, Any]
    ) -> list[Event]:
        """Open a new file for a trial, and return what it begins with.

        At ``SessionLog.START`` readers drop what older files have. These stay: TensorBoard would
        wait for ever in a file that is gone. Later reports than the ``new`` one are of an earlier
        session, and the trial will make them again.
        """
        folder = self._run.path / FOLDER / directory.path.name
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{time.time_ns()}"  # readers go by the order of names
        self._open[config["trial"]] = RecordWriter(str(folder / name))
        now, last = time.time(), max((row["step"] for row in new), default=math.inf)
        return [
            Event(wall_time=now, file_version="brain.Event:2"),
            Event(wall_time=now, session_log=SessionLog(status=SessionLog.START)),
            _start({**self._space.varied(config), "seed": config["seed"]}),
            *(event for row in directory.rows() if row["step"] <= last for event in _points(row)),
        ]

    def _close(self, number: int) -> None:
        """Close the trial's file. If the trial has ended, the file says how."""
        if (file := self._open.pop(number, None)) is not None:
            record = self._run.trial(number).read()
            with contextlib.suppress(OSError):  # the reports are written
                if record is not None and record.ended:
                    _append(file, [_end(record.ended)])
                file.close()


def _points(row: Mapping[str, Any]) -> Iterator[Event]:
    """The events of a report: its training curves at their own steps, then its metrics."""
    step, wall_time = int(row["step"]), float(row.get("timestamp", time.time()))
    curves = {
        name: values
        for name, values in row.items()
        if name.startswith("train_") and isinstance(values, list)
    }
    last = step if step < RECORD_EVERY else step // RECORD_EVERY * RECORD_EVERY
    for back in reversed(range(max(map(len, curves.values()), default=0))):
        points = {name: values[-1 - back] for name, values in curves.items() if back < len(values)}
        yield _scalars(last - RECORD_EVERY * back, wall_time, points)
    yield _scalars(step, wall_time, {n: v for n, v in row.items() if n not in NO_METRICS})


def _scalars(step: int, wall_time: float, values: Mapping[str, Any]) -> Event:
    """An event with those values that are numbers."""
    found = [
        Summary.Value(tag=name, simple_value=value)
        for name, value in values.items()
        if isinstance(value, int | float)
    ]
    return Event(step=step, wall_time=wall_time, summary=Summary(value=found))


def _start(settings: Mapping[str, Any]) -> Event:
    """The event with a trial's settings. Numbers, texts and truth values keep their type."""
    start = SessionStartInfo()
    for name, value in settings.items():
        if isinstance(value, bool):
            start.hparams[name].bool_value = value
        elif isinstance(value, int | float):
            start.hparams[name].number_value = value
        else:
            start.hparams[name].string_value = str(value)
    return _hparams("_hparams_/session_start_info", session_start_info=start)


def _end(ended: str) -> Event:
    """The event that says whether a trial failed."""
    failed = outcome_of(ended).kind == "failed"
    status = Status.Value("STATUS_FAILURE" if failed else "STATUS_SUCCESS")
    end = SessionEndInfo(status=status, end_time_secs=time.time())
    return _hparams("_hparams_/session_end_info", session_end_info=end)


def _hparams(tag: str, **content: Any) -> Event:
    """An event for TensorBoard's HPARAMS tab, which reads the metadata of a value."""
    data = HParamsPluginData(version=0, **content).SerializeToString()
    plugin = SummaryMetadata.PluginData(plugin_name="hparams", content=data)
    value = Summary.Value(tag=tag, metadata=SummaryMetadata(plugin_data=plugin))
    return Event(wall_time=time.time(), summary=Summary(value=[value]))


def _append(file: RecordWriter, events: Iterable[Event]) -> None:
    for event in events:
        file.write(event.SerializeToString())
    file.flush()
