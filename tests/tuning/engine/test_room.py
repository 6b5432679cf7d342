"""Shares of GPUs: as many trials run at once as the search expects, and never more on one GPU than
its share allows. On a node that declares GPUs, and with trainings on CPUs, since Ray places them
alike.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.conftest import ROOT, environment
from tests.support.nodes import ON_LOOPBACK, Cluster

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A cluster with a node of two GPUs."""
    started = Cluster()
    try:
        started.start()
        started.join("two", 12, gpus=2)
        yield started.address
    finally:
        started.end()


class Training(NamedTuple):
    began: float
    ended: float
    gpus: list[int]


def at_once(trainings: list[Training]) -> int:
    """The most of them that ran at the same time."""
    return max(sum(one.began <= at.began < one.ended for one in trainings) for at in trainings)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("gpus", "on_each", "together"), [(0.4, 2, 4), (0.5, 2, 4), (0.3, 3, 6), (1, 1, 2), (2, 1, 1)]
)
def test_as_many_trials_run_at_once_as_their_shares_allow(
    gpus: float, on_each: int, together: int, address: str, tmp_path: Path
) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "tests.support.shares", address, str(gpus), str(together), tmp_path],
        cwd=ROOT,
        env={**environment(), **ON_LOOPBACK},
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == [str(together)]
    files = [*tmp_path.glob("*.json")]
    trainings = [Training(**json.loads(file.read_text())) for file in files]
    assert len(trainings) == together + 3
    assert at_once(trainings) == together
    assert {len(one.gpus) for one in trainings} == {max(1, int(gpus))}
    for gpu in (0, 1):
        assert at_once([one for one in trainings if gpu in one.gpus]) == on_each
