from __future__ import annotations

import inspect
from dataclasses import fields

import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from rudder_lrp.prediction.predictor import ReturnPredictor
from rudder_lrp.prediction.training_config import TrainingConfig
from rudder_lrp.redistribution.config import CreditConfig
from rudder_lrp.sb3 import RedistributedRewardVecEnv
from rudder_lrp.wrappers import RedistributedReward, RedistributedVectorReward
from tests.conftest import RandomLengths
from tests.sb3.play import vec_env

BUILD = {
    RedistributedRewardVecEnv: vec_env,
    RedistributedReward: RandomLengths,
    RedistributedVectorReward: lambda: SyncVectorEnv([RandomLengths], autoreset_mode=AutoresetMode.SAME_STEP),
}


@pytest.mark.parametrize("wrapper", BUILD)
def test_every_option_of_the_config_stands_in_the_signature_of_every_wrapper(wrapper) -> None:
    shown = inspect.signature(wrapper).parameters
    for field in fields(CreditConfig):
        assert shown[field.name].default == field.default


@pytest.mark.parametrize("wrapper", BUILD)
def test_an_option_reaches_the_predictor_through_every_wrapper(wrapper) -> None:
    env = wrapper(BUILD[wrapper](), CreditConfig(hidden_size=6, members=2), train_every=77, lesson_capacity=40)
    online = env.credit.online
    assert (online.predictor.lstm.hidden_size, online.config.train_every, online.lessons.capacity) == (6, 77, 40)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("updates", 0),
        ("batch_size", 0),
        ("batch_steps", 1.5),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("max_gradient_norm", 0.0),
        ("weight_decay", -1e-3),
        ("along_weight", -1.0),
        ("variation_weight", float("inf")),
    ],
)
def test_a_training_that_could_not_learn_is_refused(option, value) -> None:
    with pytest.raises(ValueError, match=f"{option} must be a (whole|finite) number of at least"):
        TrainingConfig(**{option: value})


@pytest.mark.parametrize("wrapper", BUILD)
def test_an_option_that_there_is_not_is_refused(wrapper) -> None:
    with pytest.raises(TypeError, match=r"no option 'train_evry'; there are training, train_every"):
        wrapper(BUILD[wrapper](), train_evry=77)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"lesson_capacity": 16}, "lesson_capacity=16 lessons never become min_lessons=32"),
        ({"max_episode_steps": 0}, "max_episode_steps must be a whole number of at least 1, got 0"),
        ({"hidden_size": 0}, "hidden_size must be a whole number of at least 1"),
        ({"train_every": 0}, "train_every must be a whole number of at least 1"),
        ({"min_lessons": 2.5}, "min_lessons must be a whole number of at least 2, got 2.5"),
        ({"growth": float("nan")}, "growth must be a finite number of at least 1, got nan"),
        ({"lesson_capacity": float("inf")}, "lesson_capacity must be a whole number of at least 1, got inf"),
        ({"members": 3}, "64 cells cannot be shared out among 3 members"),
        ({"clock": -1}, "clock must be a whole number of at least 0"),
        ({"clock": 65}, "clock be at most 64"),
        ({"structure": "round"}, "'round' is not a valid Structure"),
    ],
)
def test_numbers_that_cannot_be_meant_are_refused(options, says) -> None:
    with pytest.raises(ValueError, match=says):
        CreditConfig(**options)


@pytest.mark.parametrize("wrapper", BUILD)
def test_what_would_not_change_a_given_predictor_is_refused(wrapper) -> None:
    env = BUILD[wrapper]()
    spaces = RandomLengths.observation_space, RandomLengths.action_space
    predictor = ReturnPredictor.for_spaces(*spaces, hidden_size=8)
    assert wrapper(env, predictor=predictor).credit.online.predictor is predictor
    with pytest.raises(ValueError, match="hidden_size, structure would not change the predictor that is given"):
        wrapper(BUILD[wrapper](), predictor=predictor, structure="leaky", hidden_size=12)
