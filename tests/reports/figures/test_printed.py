"""What the figures show, read off the drawn axes."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.lines import Line2D
from matplotlib.text import Annotation

from reports.experiments import lstm_figures
from reports.figures import printed, style
from reports.figures.printed import Curve
from reports.figures.traces import Axis

style.apply()


def reports(accuracy: list[float | None]) -> pd.DataFrame:
    steps = [100 * (place + 1) for place in range(len(accuracy))]
    batches = {"train_loss": [1.0], "train_accuracy": [0.5], "train_grad_norm": [1.0]}
    training = {name: value * 10 for name, value in batches.items()}
    rows = [
        {"step": step, "loss": None if a is None else 1 - a + 1e-3, "accuracy": a, **training}
        for step, a in zip(steps, accuracy, strict=True)
    ]
    return pd.DataFrame(rows)


def points(line: Line2D) -> tuple[list[float], list[float]]:
    return list(np.asarray(line.get_xdata())), list(np.asarray(line.get_ydata()))


def test_learning_curves_draw_every_trial_held_out_and_training() -> None:
    hand, best = Curve("hand-tuned", reports([0.1, 0.2])), Curve("best", reports([0.5, 0.9, 1.0]))
    figure = lstm_figures.learning_curves([hand], None, best, "LSTM, T = 20")
    loss, accuracy = figure.axes
    drawn = {line.get_label(): points(line)[1] for line in accuracy.lines}
    assert drawn["hand-tuned"] == [0.1, 0.2]
    assert drawn["best"] == [0.5, 0.9, 1.0]
    assert (
        sum(len(points(line)[0]) == 30 for line in accuracy.lines) == 1
    )  # the best's training points
    assert loss.get_yscale() == "log"
    assert [text.get_text() for text in figure.legends[0].texts] == ["hand-tuned", "best"]


def test_a_diverged_trial_is_drawn_up_to_its_end() -> None:
    figure = lstm_figures.learning_curves([], None, Curve("diverged", reports([0.1, None])), "LSTM")
    lines = [line for line in figure.axes[1].lines if line.get_label() == "diverged"]
    assert [points(line)[0] for line in lines] == [[100]]


@pytest.fixture
def trials() -> pd.DataFrame:
    outcomes = ["converged", "converged", "budget", "stopped early", "diverged", "error"]
    steps = [500, 900, None, None, None, None]
    table = pd.DataFrame({"number": range(6), "ended": outcomes, "steps_to_converge": steps})
    baselines = pd.Series(["hand-tuned", *[None] * 5], dtype=object)
    return table.assign(lr=0.01, max_norm=0.1, baseline=baselines)


def test_the_map_shows_every_trial_by_its_outcome(trials: pd.DataFrame) -> None:
    figure = lstm_figures.parameter_map(trials, 1, "T = 20")
    axes = figure.axes[0]
    labels = [text.get_text() for text in axes.get_legend().texts]  # type: ignore[union-attr]
    assert sorted(labels) == [
        "converged (2)", "diverged: a metric was no longer finite (1)", "failed (1)",
        "stopped early (1)", "used the whole budget (1)",
    ]  # fmt: skip
    marks = sum(np.asarray(group.get_offsets()).shape[0] for group in axes.collections)
    assert marks == 6 + 1  # with the ring around the best
    assert {text.get_text() for text in axes.texts} == {"hand-tuned", "best"}
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")


def test_what_is_known_of_one_place_stands_there_once(trials: pd.DataFrame) -> None:
    names = pd.Series(["hand-tuned", "hand-tuned too", None, "elsewhere", None, None], dtype=object)
    table = trials.assign(baseline=names, lr=[0.01, 0.01, 0.01, 0.02, 0.01, 0.01])
    texts = lstm_figures.parameter_map(table, None, "RNN").axes[0].texts
    places = {text.get_text(): text.xy[0] for text in texts if isinstance(text, Annotation)}
    assert places == {"hand-tuned; hand-tuned too": 0.01, "elsewhere": 0.02}


def test_a_setting_that_no_measured_trial_has_gets_no_panel(trials: pd.DataFrame) -> None:
    fd, penalty = (
        [9.0, 3.0, 5.0, np.nan, 7.0, np.nan],
        [np.nan, np.nan, np.nan, 1.0, np.nan, np.nan],
    )
    table = trials.assign(fd=fd, penalty=penalty, loss=list("ababab"))
    figure = printed.parameter_slices(
        table, {"lr": "log", "penalty": "log", "loss": ("b", "a")}, 1, Axis("fd", "fd", True), "fd"
    )
    assert [axes.get_title("left") for axes in figure.axes if axes.get_visible()] == ["lr", "loss"]
    assert [label.get_text() for label in figure.axes[1].get_xticklabels()] == ["b", "a"]


def test_the_map_works_where_nothing_converged(trials: pd.DataFrame) -> None:
    figure = lstm_figures.parameter_map(trials[2:], None, "RNN")
    assert len(figure.axes) == 1  # no colour scale


def test_every_fresh_seed_has_its_curve() -> None:
    figure = printed.confirmation_curves(
        {900_000 + k: reports([0.5, 1.0]) for k in range(5)},
        {"hand-tuned": {900_000 + k: reports([0.2, 0.4]) for k in range(3)}},
        Axis("accuracy", "accuracy"),
        {"goal": 0.99},
        "best",
    )
    labels = [text.get_text() for text in figure.legends[0].texts]
    assert labels == ["hand-tuned, the same seeds", *(f"seed {900_000 + k}" for k in range(5))]
    ends = [line.get_ydata()[-1] for line in figure.axes[0].lines if len(line.get_xdata()) == 2]  # type: ignore[arg-type,index]
    assert (ends.count(0.4), ends.count(1.0)) == (3, 5)


def test_any_number_of_hand_tuned_curves_is_drawn_and_told_apart() -> None:
    hand = [Curve(f"hand-tuned {place}", reports([0.1, 0.2])) for place in range(7)]
    best, steps, axis = Curve("best", reports([0.5])), Axis("step", "step"), Axis("loss", "loss")
    for figure in (
        printed.curves(hand, best, steps, [axis], "title"),
        lstm_figures.learning_curves(hand, None, best, "LSTM"),
    ):
        labels = [text.get_text() for text in figure.legends[0].texts]
        assert labels == [*(f"hand-tuned {place}" for place in range(7)), "best"]
        named = [line for line in figure.axes[0].lines if str(line.get_label()) in labels]
        assert len({(line.get_color(), line.get_linestyle()) for line in named}) == 8


@pytest.mark.parametrize("choices", [("auto", 0.5, 0.1), (True, False), ("None", "cosine")])
def test_choices_of_any_type_stand_in_their_own_order(
    choices: tuple[object, ...], trials: pd.DataFrame
) -> None:
    tried = [choices[-1], choices[0], "no choice", *[choices[0]] * 3]
    table = trials.assign(score=0.5, choice=pd.Series(tried, dtype=object))
    figure = printed.parameter_slices(
        table, {"choice": choices}, None, Axis("score", "score"), "score"
    )
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert labels == [str(choices[0]), str(choices[-1]), "no choice"]
