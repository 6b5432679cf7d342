"""The index, the pages of trials and the points of the interactive figures, recomputed from the
runs' raw files.

All text of the index and of the trials' pages is compared, and every point of every figure at six
significant digits, but for the Pareto front.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from records.run import Run
from reports.experiments import page_of
from reports.explore import Explorer
from tests.conftest import SmallSearch
from tests.reports.conftest import build
from tests.reports.test_recomputed_checks import wide, with_a_path
from tests.support.page_numbers import Element, differences, other_texts, read_page
from tests.support.raw_run import RawRun
from tests.support.recompute_evidence import (
    audit,
    beside_random,
    coverage,
    curse,
    curves_of_a_trial,
    importances,
    parallel,
    path,
    shown_bars,
    timeline,
)
from tests.support.recompute_figures import (
    Traces,
    curves_of_all,
    history,
    rank,
    read_figure,
    rungs,
    slices,
    unlike_figure,
    unlike_words,
)
from tests.support.recompute_pages import index, trial_page

SINGLE = {
    "rungs": rungs, "rank": rank, "curse": curse, "beside-random": beside_random, "path": path,
    "audit": audit, "coverage": coverage, "parallel": parallel, "timeline": timeline,
}  # fmt: skip
"""The figures that are not one of several to choose between."""
BARS = {"importances-0"}
"""Its bars have no order; ``unlike_bars`` compares them."""

Figures = dict[str, list[dict[str, Any]]]


def main_of(file: Path) -> Element:
    """A page between its head and its end."""
    (main,) = read_page(file.read_text("utf-8")).every("main")
    return main


def figures_of(folder: Path) -> Figures:
    """The traces of the scripts in a folder, by the name of each."""
    return {one.stem: read_figure(one.read_text("utf-8")) for one in folder.glob("*.js")}


def expected_figures(run: RawRun, metrics: list[str]) -> dict[str, Traces]:
    """The figures of a run's page, with the learning curves of these metrics."""
    found = {f"history-{place}": one for place, one in enumerate(history(run))}
    found |= {f"curves-of-all-{at}": curves_of_all(run, one) for at, one in enumerate(metrics)}
    found |= {f"slices-{place}": one for place, one in enumerate(slices(run).values())}
    single = {f"{name}-0": recompute(run) for name, recompute in SINGLE.items()}
    return found | {name: traces for name, traces in single.items() if traces}


def unlike_figures(run: RawRun, shown: Figures, metrics: list[str]) -> list[str]:
    """What the figures of a run's page, and the words at their points, say otherwise than the
    files."""
    expected = expected_figures(run, metrics)
    names = shown.keys() - BARS
    found = [f"{name} is unexplained or missing" for name in names ^ expected.keys()]
    for name in names & expected.keys():
        found += [f"{name}: {one}" for one in unlike_figure(shown[name], expected[name])]
        found += [f"{name}: {one}" for one in unlike_words(run, name, shown[name])]
    return found + unlike_bars(run, shown.get("importances-0", []))


def unlike_bars(run: RawRun, shown: list[dict[str, Any]]) -> list[str]:
    """Where the figure of importances, if there is one, shows another bar than the files say."""
    expected, bars = importances(run), shown_bars(shown)
    if [*expected] != [*bars]:
        return [f"the budgets {[*bars]} are {[*expected]}"]
    return [
        f"{name} at {budget} is {bars[budget][name]}"
        for budget, found in expected.items()
        for name, bar in found.items()
        if bars[budget][name] != pytest.approx(bar, rel=1e-5, abs=1e-6)
    ]


def chosen(page: Element, plot: str) -> list[str]:
    """The words of the choice between the figures of a plot."""
    return [
        option.text
        for select in page.every("select", **{"data-for": f"plot-{plot}"})
        for option in select.every("option")
    ]


def compare_site(site: Path, run: RawRun) -> list[str]:
    """Everything on the pages of a run that is not as recomputed."""
    folder = site / run.path.name
    found = differences(main_of(site / "index.html").text, index([run]))
    metrics = chosen(main_of(folder / "index.html"), "curves-of-all")
    found += unlike_figures(run, figures_of(folder / "figures"), metrics)
    curves = figures_of(folder / "trials")
    for trial in run.trials:
        name = f"{trial.number:04d}"
        page = main_of(folder / "trials" / f"{name}.html")
        found += differences(page.text, trial_page(run, trial))
        for place, metric in enumerate(chosen(page, "curve")):
            expected = curves_of_a_trial(run, trial, metric)
            found += unlike_figure(curves.pop(f"{name}-{place}"), expected)
    return found + [f"the curve {name} is unexplained" for name in curves]


def test_every_other_number_of_a_site_follows_from_the_runs_raw_files(
    real_run: Path, tmp_path: Path, unsaved: set[str]
) -> None:
    build(real_run, to=tmp_path / "site")
    run = RawRun(real_run)
    assert compare_site(tmp_path / "site", run) == []
    pages = [(tmp_path / "site" / "index.html", index([run]))]
    page = tmp_path / "site" / real_run.name / "trials" / "0000.html"
    pages.append((page, trial_page(run, run.trials[0])))
    for file, items in pages:
        text = main_of(file).text
        assert [one for one in other_texts(text) if not differences(one, items)] == []


@pytest.mark.parametrize("kind", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_the_figures_of_larger_runs_are_as_recomputed(kind: int, tmp_path: Path) -> None:
    """With a path and an audit, or over parameters of every kind."""
    made = wide(tmp_path / "run", 1, 24, 2.0) if kind else with_a_path(tmp_path / "run", 2)
    shown, metrics = drawn(made, tmp_path)
    run = RawRun(made)
    assert unlike_figures(run, shown, metrics) == []
    expected = expected_figures(run, metrics)
    for name in shown.keys() - BARS:
        for undo in altered(shown[name]):
            assert unlike_figure(shown[name], expected[name]) != [], f"{name}: {undo}"
        for trace in (one for one in shown[name] if one.get("text") and "meta" in one):
            for text in other_texts(trace["text"][0]):
                other = [{**trace, "text": [text, *trace["text"][1:]]}]
                assert unlike_words(run, name, other) != [], f"{name}: {text}"


def drawn(path: Path, folder: Path) -> tuple[Figures, list[str]]:
    """The figures of a run's page, without the page, and the metrics that have curves."""
    run = Run(path)
    plots = Explorer(run, page_of(run)).write(folder)
    return figures_of(folder / "figures"), [*plots["curves-of-all"].variants.values()]


def altered(traces: list[dict[str, Any]]) -> Iterator[str]:
    """Alters the first and the last number of each trace in turn, at the fifth digit."""
    for trace in traces:
        for axis in ("x", "y"):
            values = trace[axis]
            numbers = [at for at, one in enumerate(values) if isinstance(one, int | float)]
            for at in {*numbers[:1], *numbers[-1:]}:
                before = values[at]
                values[at] = before * (1 + 2e-5) or 1e-5
                yield f"{trace.get('name')} {axis} {at}"
                values[at] = before


def test_a_site_that_is_older_than_a_raw_value_is_found_out(
    small_search: SmallSearch, tmp_path: Path, unsaved: set[str]
) -> None:
    copy = Path(shutil.copytree(small_search.path, tmp_path / "small"))
    build(copy, to=tmp_path / "site")
    session = json.loads((copy / "search.json").read_bytes())["sessions"][0]
    changes: list[tuple[str, dict[str, Any]]] = [
        ("search.json", {"sessions": [{**session, "ended": session["ended"] + 60}]}),
        ("trial_0001/trial.json", {"finished": 9e9}),
        ("trial_0003/result.json", {"mean_accuracy": 0.123}),
        ("trial_0004/result.json", {"loss": 3.21}),
        ("confirmation/trial_0001/result.json", {"mean_accuracy": 0.5}),
    ]
    assert compare_site(tmp_path / "site", RawRun(copy)) == []
    for file, change in changes:
        before = (copy / file).read_text("utf-8")
        lines = before.splitlines() if file.endswith("result.json") else [before]
        text = json.dumps({**json.loads(lines[-1]), **change})
        (copy / file).write_text("\n".join([*lines[:-1], text]), "utf-8")
        assert compare_site(tmp_path / "site", RawRun(copy)) != [], file
        (copy / file).write_text(before, "utf-8")
