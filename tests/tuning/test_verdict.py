import dataclasses
from collections import Counter

from search_spaces.gan import SPACES as GAN_SPACES
from search_spaces.lstm import SPACES
from tune_lstm import LSTMOptions
from tuning.cluster import Cluster
from tuning.confirmation import Candidate
from tuning.experiment import Experiment
from tuning.run_directory import RunDirectory
from tuning.verdict import edges, plan, verdict


def candidate(number: int, lowest: float, **config: float) -> Candidate:
    settings = {"lr": 0.01, "max_norm": 0.1, **config}
    row = {"step": 900, "accuracy": 1.0, "mean_accuracy": 0.95, "test_accuracy": 1.0}
    seeds = {seed: {"test_accuracy": 1.0, "steps_to_converge": 500 + seed} for seed in range(5)}
    seeds[3] = {"test_accuracy": lowest, "steps_to_converge": 900}
    return Candidate(number, "converged", settings, 0, row, seeds)


def test_names_the_winner_and_every_settings_tried_before_it(
    options: LSTMOptions, experiment: Experiment, directory: RunDirectory
) -> None:
    lines = verdict(options, experiment, directory, [candidate(4, 0.95), candidate(9, 0.9912)]).splitlines()
    assert lines[1].startswith("tried      trial 4: lr=0.01 max_norm=0.1")
    assert lines[3] == (
        "confirmed  4 of 5 fresh seeds reach test_accuracy 0.99 · lowest 0.9500, mean 0.9900 · converged at step 500 to 900"
    )
    assert lines[4].startswith("best       trial 9")
    assert "5 of 5" in lines[6]
    assert not any(line.startswith("caution") for line in lines)


def test_says_so_where_no_settings_hold(options: LSTMOptions, experiment: Experiment, directory: RunDirectory) -> None:
    text = verdict(options, experiment, directory, [candidate(4, 0.95)])
    assert "caution    none of these settings reaches test_accuracy 0.99 on every fresh seed" in text
    assert "\nbest " not in text


def test_edges_are_read_on_the_ranges_own_scale(experiment: Experiment) -> None:
    assert edges({"lr": 0.01, "max_norm": 0.1}, experiment) == []
    assert edges({"lr": 0.0101e-2, "max_norm": 9.5}, experiment) == [
        "lr lies at the lower end of its range: the best may be beyond it",
        "max_norm lies at the upper end of its range: the best may be beyond it",
    ]
    assert edges({"lr": 0.06, "max_norm": 5.0}, experiment) == []  # the upper half, but well inside on a log scale


def test_numbers_to_choose_from_have_edges_but_for_the_natural_ones(experiment: Experiment) -> None:
    gan = dataclasses.replace(experiment, space=GAN_SPACES["extended"])
    inside = {"beta1": 0.5, "batch_size": 64, "loss": "hinge", "latent": "uniform", "shift": 1, "label_smoothing": 0.1}
    assert edges(inside, gan) == []
    assert edges({"beta1": 0.0, "d_steps": 1, "shift": 0, "label_smoothing": 0.0}, gan) == []
    found = edges({"beta1": 0.9, "d_steps": 2, "latent_dim": 32, "label_smoothing": 0.3}, gan)
    ends = {sentence.split()[0]: sentence.split()[4] for sentence in found}
    assert ends == {"beta1": "upper", "latent_dim": "lower", "label_smoothing": "upper", "d_steps": "upper"}


def test_the_plan_says_what_the_user_set_and_which_known_settings_that_excludes(
    experiment: Experiment, directory: RunDirectory
) -> None:
    options = LSTMOptions(set=("lr=1e-3..1e-2", "max_norm=0.1"))
    space = options.searched(SPACES["lstm", "core"])
    cluster = Cluster(2, {"CPU": 1}, {"CPU": 2}, None, "this machine", None)
    lines = plan(options, dataclasses.replace(experiment, space=space), cluster, directory, Counter()).splitlines()
    assert "varied     lr 0.001 to 0.01 (log)" in lines
    assert any(line.startswith("fixed ") and "max_norm=0.1" in line for line in lines)
    assert "note       not tried, as --set excludes them: by hand, defaults · by hand, T=20" in lines
    assert edges({"lr": 0.00999, "max_norm": 0.1}, dataclasses.replace(experiment, space=space)) == [
        "lr lies at the upper end of its range: the best may be beyond it"
    ]


def test_a_single_value_beside_a_choice_has_no_edge(experiment: Experiment) -> None:
    space = LSTMOptions(set=("penalty=1",)).searched(GAN_SPACES["extended"])
    assert edges({"loss": "relativistic", "penalty": 1.0}, dataclasses.replace(experiment, space=space)) == []
