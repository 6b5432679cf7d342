"""What shows the trials elsewhere than on the console and in the run directory."""

from ray.tune import Callback

from tuning.engine.metrics import Metrics
from tuning.engine.patience import Patience
from tuning.engine.room import Room
from tuning.engine.tensorboard import TensorBoard
from tuning.engine.tuner import Stage
from tuning.options import SearchOptions
from tuning.task import Task


def watchers(
    options: SearchOptions, task: Task, stage: Stage, room: Room, patience: Patience
) -> tuple[Callback, ...]:
    """The callbacks that export a stage to Prometheus and, with ``--tensorboard``, TensorBoard."""
    found: list[Callback] = []
    if not options.in_process:
        found.append(Metrics(options.experiment, stage.run, stage.progress, room))
    if options.tensorboard:
        found.append(TensorBoard(stage.run, task.space, patience))
    return tuple(found)
