from __future__ import annotations

import numpy as np
import pytest

from rudder_lrp.episodes.episode import Episode, repair_terminal


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
