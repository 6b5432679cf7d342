"""``best/``: what a run leaves of its winner, its config, metrics, confirmations and weights."""

import shutil
from collections.abc import Sequence

from records.run_directory import RunDirectory
from records.store import write_json
from tuning.final import final_training
from tuning.finalists import Finalist


def write_best(run: RunDirectory, winner: Finalist, field: Sequence[Finalist]) -> None:
    """Write ``best/`` of the run.

    Folders that the winner's training made, such as sample grids, are copied into the run
    directory. Weights are exported only if they are from the same step as the metrics.

    Args:
        field: All that were trained on fresh seeds, the winner among them.
    """
    best, trained = run.path / "best", run.trial(winner.number)
    final = final_training(winner, run)
    last_row = final.rows()[-1] if final else winner.last_row
    # A trial of several seeds exports the weights of its first seed, with that seed's metrics.
    weights_row = last_row.get("seeds", [last_row])[0]
    own = {"trial": winner.number, "trained_on": final is not None}
    write_json(best / "config.json", winner.config)
    write_json(best / "metrics.json", {**weights_row, **own})
    write_json(best / "confirmation.json", {"candidates": [one.summary() for one in field]})
    (best / "model.safetensors").unlink(missing_ok=True)  # of an earlier winner
    if checkpoint := (final or trained).checkpoint_at(last_row["step"]):
        shutil.copy2(checkpoint / "model.safetensors", best / "model.safetensors")
    made = [folder for part in (trained, final) if part for folder in part.made()]
    for folder in made:
        shutil.rmtree(run.path / folder.name, ignore_errors=True)
    for folder in made:
        shutil.copytree(folder, run.path / folder.name, dirs_exist_ok=True)
