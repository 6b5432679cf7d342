"""The table and the methods for a paper, against numbers that are computed here from the files."""

import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from statistics import mean, median
from typing import Any

import pytest
from optuna.distributions import FloatDistribution, IntDistribution
from scipy.stats import beta

from records.run import Run
from reports.build import ReportOptions, build
from reports.content import number as shown
from reports.experiments import page_of
from reports.paper import latex, markdown, write_paper
from tests.conftest import SmallGANSearch, SmallSearch
from tests.records.checks.conftest import MadeRun
from tests.records.checks.conftest import gan as gan
from tests.records.checks.conftest import lstm as lstm
from tests.reports.conftest import four, invented, scores
from tests.support.skewed import mean_interval, paired_interval

OWN = {"lr": 0.01, "max_norm": 1.0}


def paper(run: Run, folder: Path) -> tuple[str, str]:
    """The Markdown and the LaTeX of a run."""
    folder.mkdir(exist_ok=True)
    names = write_paper(run, page_of(run), folder)
    markdown, latex = (folder / name for name in names)
    return markdown.read_text("utf-8"), latex.read_text("utf-8")


def cells(page: str) -> list[dict[str, str]]:
    """The rows of the table in Markdown, by column."""
    lines = [line for line in page.splitlines() if line.startswith("|")]
    split = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    titles, _, *rows = split
    return [dict(zip(titles, row, strict=True)) for row in rows]


def raw(path: Path) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Record and last report of every trial in a folder."""
    folders = sorted(path.glob("trial_*"))
    return [
        (
            json.loads((folder / "trial.json").read_bytes()),
            json.loads((folder / "result.json").read_text().splitlines()[-1]),
        )
        for folder in folders
    ]


def exact(count: int, n: int) -> tuple[float, float]:
    """Clopper and Pearson's interval by its definition, from quantiles of the beta distribution."""
    low = 0.0 if count == 0 else float(beta.ppf(0.025, count, n - count + 1))
    high = 1.0 if count == n else float(beta.ppf(0.975, count + 1, n - count))
    return low, high


def assert_says(page: str, *sentences: str) -> None:
    assert [one for one in sentences if one not in page] == []


def assert_balanced(text: str) -> None:
    """Braces and environments close, and no special character is left bare."""
    depth = 0
    body = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    for mark in re.findall(r"(?<!\\)(?:\\\\)*([{}])", body.replace(r"\\", "")):
        depth += 1 if mark == "{" else -1
        assert depth >= 0
    assert depth == 0
    begun: list[str] = []
    for what, name in re.findall(r"\\(begin|end)\{(\w+)\}", body):
        if what == "begin":
            begun.append(name)
        else:
            assert begun.pop() == name
    assert begun == []
    assert not re.findall(r"(?<!\\)[%#_]", body)
    assert body.replace("$-$", "").count("$") == body.count(r"\$")
    rows = re.findall(r"^(.*) \\\\$", body, re.MULTILINE)
    assert len({len(re.findall(r"(?<!\\)&", row)) for row in rows}) <= 1


def test_the_numbers_of_a_search_are_those_of_its_files(
    small_search: SmallSearch, tmp_path: Path
) -> None:
    page, tex = paper(Run.open(small_search.path), tmp_path)
    fresh = raw(small_search.path / "confirmation")
    assert len(cells(page)) == len({record["config"]["confirms"] for record, _ in fresh})
    for row in cells(page):
        number = int(row["Trial"].split()[0])
        mine = [last for record, last in fresh if record["config"]["confirms"] == number]
        values = [last["test_accuracy"] for last in mine]
        count, n = sum(value >= 0.99 for value in values), len(values)
        low, high = exact(count, n)
        assert row["Goal reached"] == f"{count}/{n} ({100 * low:.0f}% to {100 * high:.0f}%)"
        assert row["Mean test accuracy"].startswith(f"{shown(mean(values))} (")
        assert row["Worst seed"] == shown(min(values))
        steps = [last["steps_to_converge"] for last in mine if last["steps_to_converge"]]
        assert row["Median steps to converge"].startswith(f"{median(steps):.0f}")
        config = json.loads((small_search.path / f"trial_{number:04d}" / "trial.json").read_bytes())
        assert float(row["lr"]) == pytest.approx(config["config"]["lr"], rel=0.01)
    assert_balanced(tex)


def test_the_methods_of_a_search_are_those_of_its_files(
    small_search: SmallSearch, tmp_path: Path
) -> None:
    page, _ = paper(Run.open(small_search.path), tmp_path)
    trials = [record for record, _ in raw(small_search.path)]
    search = json.loads((small_search.path / "search.json").read_bytes())
    known = sum("baseline" in record["config"] for record in trials)
    ways = Counter(record["ended"] for record in trials)
    assert_says(
        page,
        "varied 2 parameters: lr from 0.0001 to 0.1 (logarithmic scale)",
        "the tree-structured Parzen estimator (TPE) of Optuna, with seed 0. It ran 6 trials.",
        f"{known} began with known settings (“hand-tuned, defaults”, “hand-tuned, T=15”,",
        f"and {len(trials) - known} with quasi-random settings",
        "At 500 training steps, asynchronous successive halving (ASHA) stopped the trials that were"
        " not among the best 1/3 there, but no baselines.",
        "A training had at most 700 steps.",
        f"{ways['stopped early']} stopped early",
        "trained again on 2 fresh seeds (900000 to 900001)",
        *(version for version in search["versions"].values()),
    )
    for absent in ("sampler chose", "was dropped", "Bonferroni", "seeds, of which", "last session"):
        assert absent not in page


def test_the_paired_difference_is_that_of_the_raw_files(
    small_search: SmallSearch, tmp_path: Path
) -> None:
    page, tex = paper(Run.open(small_search.path), tmp_path)
    by_trial: dict[bool, dict[int, float]] = {True: {}, False: {}}
    for record, last in raw(small_search.path / "confirmation"):
        own = by_trial["baseline" in record["config"]]
        own[record["config"]["seed"]] = last["mean_accuracy"]
    seeds = sorted(by_trial[False])
    mine, its = ([by_trial[known][seed] for seed in seeds] for known in (False, True))
    differences = [a - b for a, b in zip(mine, its, strict=True)]
    low, high = paired_interval(differences)
    assert f"is {mean(differences):.3g} on average over 2 fresh seeds" in page
    assert f"(95% interval {low:.3g} to {high:.3g})" in page
    assert "$-$" in tex


def test_a_gans_search(small_gan_search: SmallGANSearch, tmp_path: Path) -> None:
    page, tex = paper(Run.open(small_gan_search.path), tmp_path)
    fresh = raw(small_gan_search.path / "confirmation")
    for row in cells(page):
        number = int(row["Trial"].split()[0])
        (value,) = (last["fd_ratio"] for one, last in fresh if one["config"]["confirms"] == number)
        assert row["Mean fd ratio"] == f"{row['Worst seed']} (one seed)"
        assert float(row["Worst seed"].replace(",", "")) == pytest.approx(value, rel=0.01)
        assert "beta1=" in row["Settings"]
        assert row["Goal reached"].startswith(f"{int(value <= 2)}/1 (")
    assert "beta1 in {0, 0.5, 0.9}" in page
    assert r"beta1 in \{0, 0.5, 0.9\}" in tex
    assert "fd ratio is at most 2" in page
    assert_balanced(tex)


class TestMade:
    """Runs with results of the test's choosing."""

    def trained(self, made: MadeRun, results: Mapping[int, list[float | None]], known: int) -> None:
        """Trials with these values of the goal's metric and the objective on fresh seeds."""
        place = 0
        for number, values in results.items():
            own: dict[str, Any] = {
                **OWN,
                **({"baseline": "hand_tuned | 50%"} if number == known else {}),
            }
            made.trial(number, own, 1 - number / 100)
            for seed, value in enumerate(values):
                fresh = {**own, "confirms": number, "seed": 900_000 + seed}
                ended = "error" if value is None else "budget"
                row = {made.run.read()["goal"]["metric"]: value}  # type: ignore[index]
                run = made.run.confirmation()
                made.trial(place, fresh, value, ended=ended, run=run, row=row, **fresh)
                place += 1

    def test_intervals_and_the_correction_for_several_finalists(
        self, lstm: MadeRun, tmp_path: Path
    ) -> None:
        best, other, known = (
            [0.999, 0.995, 0.93, 0.99, 0.95],
            [0.9, 0.8, 0.7],
            [0.9, 0.9, 0.82, 0.88, 0.86],
        )
        self.trained(lstm, {0: best, 1: other, 2: known}, known=2)  # type: ignore[dict-item]
        lstm.winner(0)
        race = {"first_seeds": 3, "more_seeds": 2, "level": 0.05}
        lstm.describe(
            methods={"race": race}, sessions=[{"started": 0.0, "ended": 1.0, "how": "finished"}]
        )
        page, tex = paper(lstm.opened, tmp_path / "out")
        first, second, third = cells(page)
        assert first["Trial"] == "0 (best settings)"
        assert second["Goal reached"] == f"0/3 (0% to {100 * exact(0, 3)[1]:.0f}%)"
        low, high = (100 * end for end in exact(3, 5))
        assert first["Goal reached"] == f"3/5 ({low:.0f}% to {high:.0f}%)"
        low, high = mean_interval(best)
        assert first["Mean test accuracy"] == f"{mean(best):.3g} ({low:.3g} to {high:.3g})"
        assert first["Worst seed"] == "0.93"
        assert third["Trial"] == r"2 (baseline “hand_tuned \| 50%”)"
        differences = [mine - its for mine, its in zip(best, known, strict=True)]
        low, high = paired_interval(differences, 0.975)
        assert f"(97.5% interval {low:.3g} to {high:.3g})" in page
        assert "Is trial 0 better than this baseline? Yes." in page
        assert "Dropped were: trial 1 after 3 seeds." in page
        assert "After 3 of these seeds, and again after every 2 more" in page
        assert "(Bonferroni: 1 - 0.05 / 2)" in page
        assert r"hand\_tuned \textbar{} 50\%" in tex
        assert_balanced(tex)

    def test_values_that_are_equal_or_missing_have_no_interval(
        self, lstm: MadeRun, tmp_path: Path
    ) -> None:
        self.trained(lstm, {0: [0.75, 0.75, None], 1: [0.5, 0.5, 0.5]}, known=1)
        lstm.winner(0)
        page, _ = paper(lstm.opened, tmp_path / "out")
        first, second = cells(page)
        assert first["Mean test accuracy"] == "0.75 (all equal, 2 of 3 seeds)"
        assert first["Worst seed"] == "no result"
        assert first["Goal reached"].startswith("0/3 (")
        assert second["Mean test accuracy"] == "0.5 (all equal)"
        assert "is better than that of the best baseline" in page
        assert "on 2 of 3 fresh seeds and worse on 1" in page
        assert "sign test" in page

    def test_the_median_of_steps_is_not_rounded_down(self, lstm: MadeRun, tmp_path: Path) -> None:
        lstm.trial(0, OWN, 0.9)
        steps = (503, 500, None)
        rows = [{"test_accuracy": 1.0, "steps_to_converge": one} for one in steps]
        lstm.confirmed(0, OWN, rows)
        page, _ = paper(lstm.opened, tmp_path / "out")
        assert cells(page)[0]["Median steps to converge"] == "502 (2 of 3 seeds)"

    def test_without_confirmation_nothing_is_said_of_fresh_seeds(
        self, lstm: MadeRun, tmp_path: Path
    ) -> None:
        lstm.trial(0, OWN, 0.9)
        lstm.trial(1, OWN, 0.8, baseline="hand-tuned")
        page, tex = paper(lstm.opened, tmp_path / "out")
        assert [(one["Trial"], one["Mean accuracy"]) for one in cells(page)] == [
            ("0 (best settings)", "0.9"),
            ("1 (baseline “hand-tuned”)", "0.8"),
        ]
        assert "No settings were trained on seeds that the search had not used." in page
        for absent in ("Clopper", "Student", "finalist", "is better", "Bonferroni"):
            assert absent not in page
        assert_balanced(tex)

    def test_a_search_that_was_killed_says_so(self, lstm: MadeRun, tmp_path: Path) -> None:
        lstm.trial(0, OWN, None, ended=None)
        session = {"started": 0.0, "ended": None, "how": "running"}
        lstm.describe(options={"num_samples": 8, "scheduler": "none"}, sessions=[session])
        page, tex = paper(lstm.opened, tmp_path / "out")
        assert_says(
            page,
            "There is no winner: 0 trials completed the training.",
            "It ran 1 of the 8 trials that were asked for.",
            "1 trial had not ended.",
            "The last session of the run was without a recorded end",
            "No known settings were tried as baselines.",
            "No trial was stopped early for being worse than others.",
        )
        assert "ASHA" not in page
        assert "| " not in page
        assert_balanced(tex)

    def test_starts_seeds_and_rungs_are_counted(self, lstm: MadeRun, tmp_path: Path) -> None:
        for number in range(9):
            known: dict[str, Any] = {"baseline": "hand-tuned"} if number == 2 else {}
            lstm.trial(number, OWN, 0.5, **known)
        lstm.describe(
            warm_start=[[{}, "one"], [{}, "two"]],
            methods={"start_up_trials": 6, "reduction_factor": 3, "over_seeds": "mean"},
            options={"seeds_per_trial": 3, "scheduler": "hyperband", "audit": 0.25},
        )
        page, _ = paper(lstm.opened, tmp_path / "out")
        assert_says(
            page,
            "2 began with the best settings of earlier runs, 1 with known settings (“hand-tuned”),",
            "3 with quasi-random settings (a Sobol sequence) and 3 with settings that the sampler",
            "Each trial trained its settings on 3 seeds, of which the mean counts.",
            "At 100 and 300 training steps, asynchronous HyperBand stopped the trials",
            "a random 25% ran to the end",
        )

    def test_one_training_is_no_search(self, lstm: MadeRun, tmp_path: Path) -> None:
        lstm.trial(0, OWN, 0.9)
        lstm.describe(options={"train": ["lr=0.01"], "sampler": "random", "scheduler": "none"})
        page, _ = paper(lstm.opened, tmp_path / "out")
        assert "was trained, without a search" in page
        for absent in ("sampler", "stopped early", "The hyperparameter search", "hand-tuned"):
            assert absent not in page


NASTY = r"50% of_x & #1 ${a}^~\ <b> | `c` *d* [e] é --no"


def test_any_name_is_printed_as_it_is(tmp_path: Path) -> None:
    space = {NASTY: FloatDistribution(0, 1), "n": IntDistribution(1, 9, log=True)}
    trials = [({NASTY: 0.5, "n": 3}, scores(0.1, 0.95)), ({NASTY: 0.25, "n": 4}, scores(0.2, 0.97))]
    path = invented(tmp_path / "a_b {c}%", trials, space, fresh_seeds=[scores(0.95), scores(0.9)])
    page, tex = paper(Run.open(path), tmp_path / "out")
    assert_balanced(tex)
    escaped = (
        r"50\% of\_x \& \#1 \$\{a\}\textasciicircum{}\textasciitilde{}\textbackslash{}"
        r" \textless{}b\textgreater{} \textbar{} \textasciigrave{}c\textasciigrave{}"
        r" *d* [e] é -{}-no"
    )
    assert tex.count(escaped) == 2  # the column and the methods
    assert markdown(NASTY) in cells(page)[0]
    assert len(cells(page)[0]) == 6
    assert "n from 1 to 9 (whole numbers, logarithmic scale)" in page


@pytest.mark.parametrize(
    ("value", "in_latex", "in_markdown"),
    [
        ("max_norm", r"max\_norm", "max_norm"),
        ("_x_ __y", r"\_x\_ \_\_y", r"\_x\_ \_\_y"),
        ("-0.5 to 1e-05, T-1", "$-$0.5 to 1e-05, T-1", "-0.5 to 1e-05, T-1"),
        ("two\nlines\x00", "two lines", "two lines"),
    ],
)
def test_escapes(value: str, in_latex: str, in_markdown: str) -> None:
    assert (latex(value), markdown(value)) == (in_latex, in_markdown)


def test_the_page_links_to_both_files_and_the_single_file_to_none(
    tmp_path: Path, unsaved: set[str]
) -> None:
    path = invented(tmp_path / "runs" / "mine", four())
    unsaved |= {"curves", "slices", "confirmation"}
    build(ReportOptions((str(path),), str(tmp_path / "site"), single_file=True))
    folder = tmp_path / "site" / "mine"
    page = (folder / "index.html").read_text("utf-8")
    for name in ("paper.md", "paper.tex"):
        assert f'href="{name}"' in page
        assert (folder / name).read_text("utf-8")
    assert "paper.md" not in (folder / "mine-single.html").read_text("utf-8")
