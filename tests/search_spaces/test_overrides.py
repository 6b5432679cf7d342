"""A space with the user's changes: what can be asked for, what is refused, and the result."""

import dataclasses
from typing import Any

import optuna
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from command_line import UsageError
from search_spaces import SearchSpace
from search_spaces.gan import SPACES as GAN_SPACES
from search_spaces.lstm import SPACES as LSTM_SPACES
from search_spaces.overrides import override
from search_spaces.set_syntax import GRAMMAR, parse_overrides

LSTM, LSTM_EXTENDED, RNN = (
    LSTM_SPACES["lstm", "core"],
    LSTM_SPACES["lstm", "extended"],
    LSTM_SPACES["rnn", "core"],
)
LOSSES = "non-saturating, hinge, least-squares, relativistic"
CORE, EXTENDED = GAN_SPACES["core"], GAN_SPACES["extended"]


def changed(space: SearchSpace, *texts: str) -> SearchSpace:
    return override(space, parse_overrides(texts), ("max_steps", "dataset", "model"))


def test_nothing_asked_for_leaves_the_space_as_it_is() -> None:
    assert changed(EXTENDED) is EXTENDED


@pytest.mark.parametrize(
    ("text", "distribution"),
    [
        ("lr=1e-3..1e-2", FloatDistribution(1e-3, 1e-2, log=True)),  # its own scale
        ("lr=1e-4..1:log", FloatDistribution(1e-4, 1.0, log=True)),
        ("lr=0..0.1:linear", FloatDistribution(0.0, 0.1)),
        ("lr=0.01..0.03:linear:step=0.01", FloatDistribution(0.01, 0.03, step=0.01)),
        ("lr = 1e-3 .. 1e-2", FloatDistribution(1e-3, 1e-2, log=True)),
        ("lr=.001,.01", CategoricalDistribution((0.001, 0.01))),
        ("max_norm=1..2", FloatDistribution(1.0, 2.0, log=True)),
        ("max_norm=1,2", CategoricalDistribution((1.0, 2.0))),
        ("hidden_dim=64..256", IntDistribution(64, 256)),
        ("hidden_dim=64..256:log", IntDistribution(64, 256, log=True)),
        ("hidden_dim=64..256:step=64", IntDistribution(64, 256, step=64)),
        ("hidden_dim=64,128.0,1e3", CategoricalDistribution((64, 128, 1000))),
        ("averaging=0.5..0.9", FloatDistribution(0.5, 0.9)),
        ("batch_size=128,64", CategoricalDistribution((64, 128))),
    ],
)
def test_what_is_asked_for_is_what_varies(text: str, distribution: BaseDistribution) -> None:
    space = changed(LSTM, text)
    name = text.partition("=")[0].strip()
    assert space.parameters[name].distribution == distribution
    assert name not in space.fixed
    values = getattr(space.parameters[name].distribution, "choices", ())
    assert [type(value) for value in values] == [
        type(value) for value in getattr(distribution, "choices", ())
    ]


@pytest.mark.parametrize(
    ("space", "text", "value"),
    [
        (LSTM, "max_norm=1", 1.0),
        (LSTM, "hidden_dim=64", 64),
        (LSTM, "init_scale=0.5", 0.5),
        (RNN, "lr_gamma=0.9", 0.9),
        (EXTENDED, "loss=hinge", "hinge"),
        (EXTENDED, "loss=Hinge", "hinge"),
        (EXTENDED, "beta1=0.7", 0.7),
        (EXTENDED, "d_steps=3", 3),
        (CORE, "ema=0.999", 0.999),
    ],
)
def test_a_single_value_is_fixed_and_of_the_parameters_type(
    space: SearchSpace, text: str, value: object
) -> None:
    narrowed = changed(space, text)
    name = text.partition("=")[0]
    assert narrowed.fixed[name] == value
    assert type(narrowed.fixed[name]) is type(value)
    assert name not in narrowed.parameters


@pytest.mark.parametrize(
    ("space", "text", "message"),
    [
        (LSTM, "lr", f"--set lr: {GRAMMAR}"),
        (LSTM, "=1", "--set =1: takes"),
        (LSTM, "lr=", "--set lr=: takes"),
        (LSTM, "lr=0.1,", "--set lr=0.1,: takes"),
        (LSTM, "lr=1e-3..", "--set lr=1e-3..: takes"),
        (LSTM, "lr=1e-3..1:logarithmic", "--set lr=1e-3..1:logarithmic: takes"),
        (LSTM, "lr=1e-3..1:log:linear", "takes"),
        (LSTM, "lr=1e-3..inf", "inf is not a finite number"),
        (LSTM, "lr=nan", "nan is not a finite number"),
        (LSTM, "lr=fast", "lr=fast: fast is not a finite number"),
        (LSTM, "lr=1e400", "lr=1e400: 1e400 is too large"),
        (LSTM, "lr=1e39", "lr=1e+39: it takes numbers up to 3.4e+38, not 1e+39"),
        (LSTM, "lr=1e-400..1", "1e-400 is too small to be told from 0"),
        (LSTM, "hidden_dim=1e30", "hidden_dim=1e+30: it takes numbers up to 9.0072e+15, not 1e+30"),
        (LSTM, "hidden_dim=1.." + 400 * "9", "is too large"),
        (LSTM, "lr=1,000", "--set lr=1,000: did you mean 1000? A number does not start with 0, and"
         " commas separate choices"),
        (LSTM, "hidden_dim=1,024,000", "did you mean 1024000? "),
        (LSTM, "max_norm=0,05", "did you mean 0.05? "),
        (EXTENDED, "batch_size=1", "batch_size=1: it takes numbers from 2, not 1"),
        (LSTM_EXTENDED, "start_length=1", "start_length=1: it takes numbers from 2, not 1"),
        (LSTM_EXTENDED, "length_growth=0.5", "length_growth=0.5: it takes numbers from 1, not 0.5"),
        (LSTM, "lr=007", "--set lr=007: A number does not start with 0"),
        (LSTM, "lr=1e-4...1", "--set lr=1e-4...1: a range has two dots, as in 1e-4..1"),
        (LSTM, "lr=1e-4..0.1..1", "0.1..1 is not a finite number"),
        (LSTM, "lr=..1", "--set lr=..1: takes"),
        (LSTM, "lr=\u0661", "\u0661 is not a finite number"),
        (LSTM, "lr=\uff11e-3..1", "is not a finite number"),
        (LSTM, "lr=1e\u22123", "is not a finite number"),
        (LSTM, "lr=" + 5000 * "x", "…"),
        (LSTM, "lr=1e-1..1e-4", "lr=0.1..0.0001: the lower end must be below the upper end"),
        (LSTM, "lr=0.1..0.1", "the lower end must be below the upper end"),
        (LSTM, "lr=0..0.1", "lr=0..0.1: a log range must start above 0 (or add :linear)"),
        (LSTM, "lr=-0.1", "lr=-0.1: it takes numbers from 0, not -0.1"),
        (LSTM, "lr=0.1..0.2:step=0.05", "a log range has no step (or add :linear)"),
        (LSTM, "lr=0.1..0.2:linear:step=0.03", "the step 0.03 must divide the range"),
        (LSTM, "lr=0.1..0.2:linear:step=0", "the step 0 must divide the range"),
        (LSTM, "lr=0.1,0.1", "a choice is there twice"),
        (LSTM, "hidden_dim=64.5", "hidden_dim=64.5: it takes whole numbers, not 64.5"),
        (LSTM, "hidden_dim=0", "it takes numbers from 1, not 0"),
        (LSTM, "hidden_dim=2..4:step=0.5", "the step must be a whole number, got 0.5"),
        (LSTM, "maxnorm=1", "there is no parameter maxnorm (did you mean max_norm?);"
         " there are optimizer, lr, max_norm"),
        (LSTM, "momentum=0.1", "there is no parameter momentum; there are optimizer, lr"),
        (LSTM, "max_steps=5", "max_steps is not a search parameter; set it with --max-steps"),
        (LSTM, "model=rnn", "--model"),
        (LSTM, "lr_gamma=0.8", "lr_gamma=0.8: lr_gamma applies only if lr_schedule=exponential"),
        (LSTM, "seed=1", "there is no parameter seed"),
        (EXTENDED, "loss=hing", f"loss=hing: it takes {LOSSES}, not hing"),
        (EXTENDED, "loss=0..1", f"loss=0..1: it takes {LOSSES}, not a range"),
        (EXTENDED, "beta1=1", "beta1=1: it takes numbers below 1, not 1"),
        (EXTENDED, "d_steps=1e9", "d_steps=1000000000: it takes numbers below 101, not 1000000000"),
        (EXTENDED, "ema=0..1", "it takes numbers below 1, not 1"),
        (CORE, "penalty=1", "penalty=1: penalty applies only if loss=relativistic"),
    ],
)  # fmt: skip
def test_refused_in_words_that_say_what_would_be_right(
    space: SearchSpace, text: str, message: str
) -> None:
    with pytest.raises(UsageError) as refused:
        changed(space, text)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_name_set_twice_and_a_space_with_nothing_left_are_refused() -> None:
    with pytest.raises(UsageError, match="lr is set twice"):
        changed(LSTM, "lr=0.1", "lr=0.2")
    with pytest.raises(UsageError, match="nothing is left to vary"):
        changed(LSTM, "lr=0.1", "max_norm=1")
    assert list(changed(LSTM, "lr=0.1", "max_norm=1", "hidden_dim=64,128").parameters) == [
        "hidden_dim"
    ]


class TestConditions:
    def test_a_parent_fixed_to_the_value_keeps_its_child_in_every_trial(self) -> None:
        space = changed(EXTENDED, "loss=relativistic")
        assert space.parameters["penalty"].only_if is None
        assert (
            space.parameters["penalty"].distribution == EXTENDED.parameters["penalty"].distribution
        )
        assert "label_smoothing" not in {*space.parameters, *space.fixed}

    def test_a_parent_that_can_no_longer_take_the_value_takes_its_child_away(self) -> None:
        space = changed(EXTENDED, "loss=hinge,relativistic", "regulariser=spectral")
        assert {"dropout", "label_smoothing"}.isdisjoint({*space.parameters, *space.fixed})
        assert space.parameters["penalty"].only_if == ("loss", "relativistic")

    def test_a_child_set_without_its_parents_value_is_refused(self) -> None:
        with pytest.raises(UsageError, match="dropout applies only if regulariser=dropout"):
            changed(EXTENDED, "regulariser=spectral", "dropout=0.1")

    def test_a_child_fixed_beside_a_parent_that_varies_reaches_no_other_trial(self) -> None:
        space = changed(EXTENDED, "penalty=1")
        assert "penalty" not in space.fixed
        assert space.parameters["penalty"].distribution == CategoricalDistribution((1.0,))
        assert not space.parameters["penalty"].applies({"loss": "hinge"})

    def test_a_choice_brings_what_it_needs_along(self) -> None:
        space = changed(CORE, "loss=relativistic", "regulariser=none,dropout")
        assert space.parameters["penalty"] == dataclasses.replace(
            EXTENDED.parameters["penalty"], only_if=None
        )
        assert space.parameters["dropout"] == EXTENDED.parameters["dropout"]
        order = list(space.parameters)
        assert order.index("regulariser") < order.index("dropout")

    def test_a_condition_that_always_held_goes_with_what_it_held_by(self) -> None:
        assert "lr_gamma" not in changed(RNN, "lr_schedule=settling").parameters
        assert changed(RNN, "lr_schedule=exponential,settling").parameters["lr_gamma"].only_if == (
            "lr_schedule",
            "exponential",
        )

    def test_it_can_be_set_along_with_the_choice(self) -> None:
        space = changed(CORE, "loss=relativistic", "penalty=0.5")
        assert (space.fixed["loss"], space.fixed["penalty"]) == ("relativistic", 0.5)


class TestKnown:
    def test_settings_that_a_narrower_range_excludes_are_left_out_and_named(self) -> None:
        space = changed(LSTM, "max_norm=1e-3..1")
        assert list(space.baselines) == ["hand-tuned, T=15", "hand-tuned, T=20"]
        assert space.left_out == ("hand-tuned, defaults",)

    def test_a_fixed_value_leaves_only_settings_that_have_it(self) -> None:
        space = changed(LSTM, "max_norm=0.1")
        assert space.baselines == {"hand-tuned, T=15": {"lr": 0.0015}}
        assert space.left_out == ("hand-tuned, defaults", "hand-tuned, T=20")

    def test_what_was_fixed_is_part_of_them(self) -> None:
        assert changed(LSTM, "hidden_dim=64").baselines == {}
        varied = changed(LSTM, "hidden_dim=64,128")
        assert varied.baselines["hand-tuned, T=20"] == {
            "lr": 0.005,
            "max_norm": 0.01,
            "hidden_dim": 128,
        }
        assert varied.left_out == ()

    def test_all_are_kept_in_a_wider_space(self) -> None:
        assert (
            changed(
                LSTM, "lr=1e-5..1", "batch_size=64..256", "lr_schedule=constant,exponential"
            ).left_out
            == ()
        )

    def test_conditional_ones_stay_whole(self) -> None:
        space = changed(EXTENDED, "loss=relativistic,hinge", "latent_dim=50..150")
        assert list(space.baselines) == ["in the manner of R3GAN"]
        assert (
            space.baselines["in the manner of R3GAN"]
            == EXTENDED.baselines["in the manner of R3GAN"]
        )


CHANGES = {
    "lstm": [
        ("lr=1e-3..1e-2", "max_norm=0.1"), ("lr=0.01,0.02", "batch_size=32..512:log"),
        ("lr_schedule=exponential", "lr_gamma=0.5..0.9", "max_norm=1..2:linear"),
        ("curriculum=growing", "start_length=2..6:step=2"),
    ],
    "rnn": [
        ("lr_schedule=settling",), ("lr_gamma=0.5..1",),
        ("lr_schedule=constant,exponential", "lr=1e-3..1e-2"),
    ],
    "lstm extended": [
        ("forget_bias=1",), ("forget_init=chrono", "curriculum=none"),
        ("lr_schedule=exponential", "length_growth=2"),
    ],
    "core": [
        ("loss=relativistic",), ("loss=hinge,relativistic", "penalty=1"),
        ("regulariser=dropout", "dropout=0.2,0.4"),
        ("loss=non-saturating,hinge", "label_smoothing=0..0.2"), ("ema=0.9,0.99", "beta1=0"),
    ],
    "extended": [
        ("loss=hinge",), ("penalty=1", "dropout=0.1..0.2"),
        ("loss=relativistic", "penalty=0..1:linear", "shift=0..4"),
        ("label_smoothing=0.1", "regulariser=none,dropout"),
        ("loss=relativistic,hinge", "latent_dim=50..150:step=50"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "texts"), [(name, texts) for name, several in CHANGES.items() for texts in several]
)
def test_optuna_can_search_it_and_every_trial_has_exactly_what_applies(
    name: str, texts: tuple[str, ...]
) -> None:
    """What StudySearch does of it, with Optuna alone: baselines enqueued, then TPE."""
    spaces = {
        "lstm": LSTM,
        "lstm extended": LSTM_EXTENDED,
        "rnn": RNN,
        "core": CORE,
        "extended": EXTENDED,
    }
    original = spaces[name]
    conditions = {
        child: described.only_if
        for child, described in {**original.parameters, **original.others}.items()
        if described.only_if is not None
    }
    space = changed(original, *texts)
    assert not set(space.parameters) & set(space.fixed)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0, n_startup_trials=4))
    for values in space.baselines.values():
        study.enqueue_trial(dict(values))
    for number in range(8):
        trial = study.ask()
        settings: dict[str, Any] = {}
        for key, parameter in space.parameters.items():
            if parameter.applies(settings):
                settings[key] = trial._suggest(key, parameter.distribution)
        if number < len(space.baselines):
            assert settings == list(space.baselines.values())[number]
        config = {**settings, **space.fixed}
        assert conditions
        for child, (parent, value) in conditions.items():
            assert (child in config) == (config[parent] == value)
        study.tell(trial, float(number))
