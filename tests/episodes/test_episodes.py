from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from rudder_lrp.episodes.delayed_reward import DelayedReward
from rudder_lrp.episodes.episode import Episode, repair_terminal
from rudder_lrp.episodes.features import TransitionFeatures


def test_episode_knows_its_return_and_length() -> None:
    episode = Episode(np.zeros((4, 2)), np.zeros(3), [1.0, 0.0, -3.0])
    assert (len(episode), episode.episode_return) == (3, -2.0)


@pytest.mark.parametrize(
    ("observations", "actions", "rewards", "message"),
    [
        (np.zeros((3, 2)), np.zeros(3), np.zeros(3), "need 4 observations, .* got .3."),
        (np.zeros((4, 2)), np.zeros(2), np.zeros(3), r"needs 3 actions, got \[2\]"),
        (np.zeros((1, 2)), np.zeros(0), np.zeros(0), "at least one step"),
        (np.zeros((4, 2)), np.zeros(3), [0.0, np.nan, 0.0], "nan at index 1"),
        (np.zeros((4, 2)), np.zeros(3), [0.0, 0.0, np.inf], "inf at index 2"),
    ],
)
def test_inconsistent_episodes_are_refused(observations, actions, rewards, message) -> None:
    with pytest.raises(ValueError, match=message):
        Episode(observations, actions, rewards)


def test_dict_observations_are_checked_leaf_by_leaf() -> None:
    with pytest.raises(ValueError, match=r"got \[3, 4\]"):
        Episode({"a": np.zeros((4, 1)), "b": np.zeros((3, 1))}, np.zeros(3), np.zeros(3))


def test_terminal_observations_are_put_back_in_place_of_those_after_the_reset() -> None:
    after = {"a": np.array([[9.0], [1.0]])}
    infos = [{"terminal_observation": {"a": np.array([2.0])}}, {}]
    repaired = repair_terminal(after, np.array([True, False]), infos)
    assert repaired["a"][:, 0].tolist() == [2.0, 1.0]
    assert after["a"][:, 0].tolist() == [9.0, 1.0]


def test_a_missing_terminal_observation_is_asked_for() -> None:
    with pytest.raises(ValueError, match="environment 0 is done, but its info lacks 'terminal_observation'"):
        repair_terminal(np.zeros((1, 1)), np.array([True]), [{}])


@pytest.mark.parametrize("kind", ["dictionary", "tuple"])
def test_actions_are_nested_as_their_space_is(kind) -> None:
    move, push = np.zeros(8, int), np.zeros((8, 2))
    actions = {"move": move, "push": push} if kind == "dictionary" else (move, push)
    assert len(Episode(np.zeros((9, 2)), actions, np.ones(8))) == 8
    with pytest.raises(ValueError, match=r"needs 8 actions, got \[7, 8\]"):
        Episode(np.zeros((9, 2)), {"move": move, "push": push[:7]}, np.ones(8))


@pytest.mark.parametrize("reward", [1e21, -1e300, np.nan, -np.inf])
def test_rewards_that_predictions_cannot_hold_are_refused(reward) -> None:
    with pytest.raises(ValueError, match=r"at index 1 of the episode is not finite, or beyond 1e\+20"):
        Episode(np.zeros((3, 2)), np.zeros(2), [0.0, reward])


def test_transitions_pair_each_observation_with_the_next_and_mark_both_ends() -> None:
    steps = Episode({"a": np.arange(4.0)[:, None]}, np.array([5, 6, 7]), [0.0, 1.0, 2.0]).transitions()
    assert steps.observations["a"][:, 0].tolist() == [0.0, 1.0, 2.0]
    assert steps.next_observations["a"][:, 0].tolist() == [1.0, 2.0, 3.0]
    assert (steps.actions.tolist(), steps.rewards.tolist()) == ([5, 6, 7], [0.0, 1.0, 2.0])
    assert steps.first.tolist() == [True, False, False]
    assert steps.last.tolist() == [False, False, True]


def test_an_episode_never_shows_the_reward_that_it_is_to_predict() -> None:
    space = spaces.Box(-9.0, 9.0, (1,), np.float32)
    shown = TransitionFeatures(space, spaces.Discrete(9)).encode_episode(
        Episode(np.zeros((4, 1)), np.array([5, 6, 7]), [3.0, 4.0, 5.0])
    )
    assert shown[:, -1].tolist() == [3.0, 4.0, 0.0]


class Paying(gym.Env):
    """Pays 1, 2, 4, 8, 16 and is over after five steps."""

    observation_space = action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.paid = 0.5
        return 0, {"seed": seed, "options": options}

    def step(self, action):
        self.paid *= 2
        return action, self.paid, self.paid == 16, False, {"own": action}


@pytest.mark.parametrize(
    ("every", "expected"), [(None, [0, 0, 0, 0, 31]), (1, [1, 2, 4, 8, 16]), (2, [0, 3, 0, 12, 16])]
)
def test_delayed_reward_pays_all_that_it_owes_and_says_what_was_earned(every, expected) -> None:
    env = DelayedReward(Paying(), every)
    for _ in range(2):
        assert env.reset(seed=3, options={"a": 1})[1] == {"seed": 3, "options": {"a": 1}}
        steps = [env.step(1) for _ in range(5)]
        assert [step[1] for step in steps] == expected
        assert [step[2] for step in steps] == [False] * 4 + [True]
        assert [step[4] for step in steps] == [{"own": 1, "dense_reward": 2.0**at} for at in range(5)]


def test_what_was_owed_is_forgotten_at_a_reset() -> None:
    env = DelayedReward(Paying(), 2)
    env.reset()
    env.step(0)
    env.reset()
    assert [env.step(0)[1] for _ in range(2)] == [0, 3]


def test_a_delay_of_no_step_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 step, got 0"):
        DelayedReward(Paying(), 0)
