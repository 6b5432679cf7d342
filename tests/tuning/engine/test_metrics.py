"""What a real Prometheus has of a search, against the run directory."""

import re
import signal
import tempfile
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from records.outcome import COMPLETE
from records.run_directory import RunDirectory
from tests.conftest import ROOT, start
from tests.deploy.test_grafana_dashboard import expressions
from tests.support.processes import wait_for
from tests.support.prometheus import Prometheus, Sample

SEARCH = (
    "--input-length", 4, "--max-steps", 1500, "--num-samples", 5, "--finalists", 1, "--confirm", 6,
    "--scheduler", "none", "--name", "seen",
)  # fmt: skip
"""Five trials, then two settings on six fresh seeds: scrapes every ten seconds find both stages."""


@pytest.fixture
def ray_folder() -> Iterator[Path]:
    """A folder for Ray with a path that is short enough for its sockets."""
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def steps(part: RunDirectory) -> int:
    """The training steps of all trials, from their last reports."""
    return sum(rows[-1]["step"] for trial, _ in part.trials() if (rows := trial.rows()))


def expected(run: RunDirectory) -> dict[str, object]:
    """What the search, which is over, must have exported."""
    complete = [trial.rows()[-1] for trial, record in run.trials() if record.ended in COMPLETE]
    return {
        "outcomes": run.outcomes(),
        "best": pytest.approx(max(row["mean_accuracy"] for row in complete)),
        "steps": steps(run),
        "wanted": 5,
        "running": 0,
    }


def exported(ask: Callable[[str], list[Sample]], stage: str) -> dict[str, object]:
    """The same from Prometheus."""

    def value(metric: str) -> float | None:
        found = ask(f'{metric}{{experiment="lstm", stage="{stage}"}}')
        assert len(found) <= 1
        return found[0][1] if found else None

    trials = ask(f'ray_search_trials{{experiment="lstm", stage="{stage}"}}')
    return {
        "outcomes": Counter({labels["outcome"]: int(count) for labels, count in trials}),
        "best": value("ray_search_best"),
        "steps": value("ray_search_steps_total"),
        "wanted": value("ray_search_trials_wanted"),
        "running": value("ray_search_trials_running"),
    }


@pytest.mark.slow
def test_prometheus_has_what_the_run_directory_has(tmp_path: Path, ray_folder: Path) -> None:
    config, run = tmp_path / "prometheus.yml", RunDirectory(tmp_path / "runs" / "seen")
    shipped = (ROOT / "deploy" / "prometheus.yml").read_text(encoding="utf-8")
    assert "/tmp/ray/" in shipped
    config.write_text(shipped.replace("/tmp/ray/", f"{ray_folder}/ray/"), encoding="utf-8")
    with Prometheus(config, tmp_path) as prometheus:
        variables = {"RAY_TMPDIR": str(ray_folder)}
        process = start("tune_lstm.py", *SEARCH, cwd=tmp_path, variables=variables)

        def ask(expression: str) -> list[Sample]:
            try:
                return prometheus.query(expression)
            except urllib.error.HTTPError:
                raise
            except urllib.error.URLError:  # it starts
                return []

        wait_for(lambda: run.outcomes().total() == 5, process, within=300)
        wait_for(lambda: exported(ask, "search") == expected(run), process, within=60, every=2)
        assert exported(ask, "search")["outcomes"]

        seen: dict[str, object] = {}

        def confirming() -> bool:
            seen.update(exported(ask, "confirm"))
            return bool(seen["running"]) and bool(seen["outcomes"])

        wait_for(confirming, process, within=120, every=2)
        ((_, slots),) = ask('ray_search_slots{stage="confirm"}')
        assert seen["running"] in range(1, int(slots) + 1)
        confirmed = run.confirmation()
        outcomes = seen["outcomes"]
        assert isinstance(outcomes, Counter)
        assert 0 < outcomes.total() <= confirmed.outcomes().total()
        counted = seen["steps"]
        assert isinstance(counted, float)
        assert 1500 <= counted <= steps(confirmed)

        labels = {name for sample, _ in ask('{__name__=~"ray_search_.*"}') for name in sample}
        assert not labels & {"trial", "run", "name"}
        for expression in expressions():
            shown = expression.replace("$experiment", ".*").replace("$__rate_interval", "1m")
            assert ask(shown), shown
        assert exported(ask, "search") == expected(run)  # it stays while a later stage runs
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)


@pytest.mark.slow
def test_the_port_answers_on_the_loopback_address_without_the_dashboard(
    tmp_path: Path, ray_folder: Path
) -> None:
    variables = {"RAY_TMPDIR": str(ray_folder)}
    command = ("tune_lstm.py", *SEARCH, "--no-dashboard")
    process = start(*command, cwd=tmp_path, variables=variables)
    session = ray_folder / "ray/session_latest"
    wait_for(lambda: any(session.glob("metrics_export_port_*")), process)
    (file,) = session.glob("metrics_export_port_*")
    page = f"http://127.0.0.1:{file.read_text()}/metrics"

    def exports_slots() -> bool:
        with urllib.request.urlopen(page, timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return any(re.fullmatch(r"ray_search_slots\{.*\} [1-9]\d*\.0", line) for line in lines)

    wait_for(exports_slots, process, every=2)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)


@pytest.mark.slow
def test_a_search_says_the_same_without_rays_metrics(tmp_path: Path) -> None:
    small = (
        "--input-length", 4, "--max-steps", 200, "--num-samples", 2, "--confirm", 0,
        "--max-concurrent", 1, "--name", "seen",
    )  # fmt: skip
    printed = []
    for collected in ("1", "0"):
        folder = tmp_path / collected
        folder.mkdir()
        variables = {"RAY_enable_metrics_collection": collected}
        process = start("tune_lstm.py", *small, cwd=folder, variables=variables)
        out, err = process.communicate(timeout=200)
        assert process.returncode == 0, err
        settled = re.sub(r"http://\S+|\d+ s\b", "…", out + err)
        printed.append(sorted(settled.splitlines()))
    assert printed[0] == printed[1]
