"""A table of made-up curves over the LSTM's extended space: a setting converges the sooner, the
larger its lr and the smaller its batch.
"""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchmarks.curves import Curves, sobol_settings, write
from benchmarks.search import COLUMNS, SPACE

SETTINGS = 64


def made_up_rows(number: int, values: dict[str, Any]) -> list[dict[str, Any]]:
    needed = 10 * values["batch_size"] / values["lr"] ** 0.5  # time steps
    rows: list[dict[str, Any]] = []
    for report in range(1, 21):
        work = report * 10 * values["batch_size"] / 128
        converged = work >= needed / 100
        ended = "converged" if converged else "budget" if report == 20 else None
        metrics = {
            "step": report * 10,
            "work": work,
            "length": 50,
            "log_work": 4 - converged * 2 - work / 1000,
            "accuracy": float(converged),
            "progress": float(converged),
            "work_to_converge": work if converged else None,
        }
        rows.append({"setting": number, **values, **metrics, "ended": ended})
        if ended:
            break
    return rows


@pytest.fixture(scope="session")
def table() -> pd.DataFrame:
    settings = enumerate(sobol_settings(SPACE, SETTINGS))
    rows = [row for number, values in settings for row in made_up_rows(number, values)]
    return pd.DataFrame(rows, columns=COLUMNS)


@pytest.fixture(scope="session")
def path(table: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("curves") / "curves.csv.gz"
    write(table, path)
    return path


@pytest.fixture(scope="session")
def curves(path: Path) -> Curves:
    return Curves.read(path, SPACE)
