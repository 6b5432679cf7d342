"""The dashboard for Grafana: it is what Grafana's own types can hold, and shows what a search
exports. tests/tuning/engine/test_metrics.py evaluates its queries in a real Prometheus."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests.conftest import ROOT
from tuning.engine.metrics import GAUGES, LABELS, STEPS

DASHBOARD = json.loads((ROOT / "deploy" / "grafana-dashboard.json").read_text(encoding="utf-8"))

EXPORTED = {
    **{f"ray_{name}": {*LABELS, *own} for name, (_, *own) in GAUGES.items()},
    f"ray_{STEPS}_total": {*LABELS},
}
"""The metrics of a search under the names that Ray gives them, and their labels."""


def expressions() -> list[str]:
    """The PromQL of every panel."""
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


def lost(given: Any, kept: Any, place: str = "") -> Iterator[str]:
    """Where ``kept`` lacks something of ``given``."""
    if isinstance(given, dict) and isinstance(kept, dict):
        for name, value in given.items():
            yield from lost(value, kept.get(name), f"{place}/{name}")
    elif isinstance(given, list) and isinstance(kept, list) and len(given) == len(kept):
        for number, pair in enumerate(zip(given, kept, strict=True)):
            yield from lost(*pair, f"{place}/{number}")
    elif given != kept:
        yield place


def test_grafanas_own_types_know_every_entry() -> None:
    register_default_plugins()
    read = Dashboard.from_json(DASHBOARD)
    assert [*lost(DASHBOARD, json.loads(JSONEncoder().encode(read)))] == []
    misspelt = {**DASHBOARD, "panels": [{**DASHBOARD["panels"][0], "titel": "Trials"}]}
    encoded = json.loads(JSONEncoder().encode(Dashboard.from_json(misspelt)))
    assert [*lost(misspelt, encoded)] == ["/panels/0/titel"]


def test_grafana_can_import_it() -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,40}", DASHBOARD["uid"])
    assert DASHBOARD["title"]
    assert DASHBOARD["schemaVersion"] >= 36
    assert "id" not in DASHBOARD  # Grafana gives one
    variables = {one["name"]: one for one in DASHBOARD["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert variables["datasource"]["query"] == "prometheus"
    source = {"type": "prometheus", "uid": "${datasource}"}
    for panel in DASHBOARD["panels"]:
        assert panel["datasource"] == source
        assert [target["datasource"] for target in panel["targets"]] == [source] * len(
            panel["targets"]
        )
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("expression", expressions())
def test_a_panel_asks_only_for_what_a_search_exports(expression: str) -> None:
    selectors = re.findall(r"(\w+)\{([^}]*)\}", expression)
    assert selectors
    for metric, matchers in selectors:
        assert {*re.findall(r"(\w+)\s*[=!]", matchers)} <= EXPORTED[metric]
    assert {*re.findall(r"\bray_\w+", expression)} == {metric for metric, _ in selectors}


def test_every_metric_is_in_a_panel() -> None:
    shown = {metric for one in expressions() for metric in re.findall(r"\bray_\w+", one)}
    assert shown == EXPORTED.keys()


def test_no_two_panels_overlap() -> None:
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in DASHBOARD["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24
