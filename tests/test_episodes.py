from __future__ import annotations

import numpy as np
import pytest

from rudder_lrp.episodes import Episode, EpisodeRecorder


def test_episode_knows_its_return_and_length() -> None:
    episode = Episode(np.zeros((4, 2)), np.zeros(3), [1.0, 0.0, -3.0])
    assert (len(episode), episode.episode_return) == (3, -2.0)


@pytest.mark.parametrize(
    ("observations", "actions", "rewards", "message"),
    [
        (np.zeros((3, 2)), np.zeros(3), np.zeros(3), "need 4 observations, .* got .3."),
        (np.zeros((4, 2)), np.zeros(2), np.zeros(3), "needs 3 actions, got 2"),
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


def test_recorder_cuts_the_stream_and_puts_the_terminal_observation_back() -> None:
    recorder = EpisodeRecorder(2)
    recorder.start(np.array([[0.0], [10.0]]))
    none_done = np.array([False, False])
    _, finished = recorder.record(np.array([5, 6]), np.array([[1.0], [11.0]]), np.ones(2), none_done, [{}, {}])
    assert finished == {}
    infos = [{"terminal_observation": np.array([2.0]), "TimeLimit.truncated": True}, {}]
    transitions, finished = recorder.record(
        np.array([7, 8]), np.array([[100.0], [12.0]]), np.array([3.0, 0.0]), np.array([True, False]), infos
    )
    assert transitions.next_observations.tolist() == [[2.0], [12.0]]
    assert transitions.observations.tolist() == [[1.0], [11.0]]
    episode = finished[0]
    assert episode.observations[:, 0].tolist() == [0.0, 1.0, 2.0]
    assert episode.actions.tolist() == [5, 7]
    assert episode.rewards.tolist() == [1.0, 3.0]
    assert episode.truncated
    transitions, _ = recorder.record(np.array([0, 0]), np.array([[101.0], [13.0]]), np.ones(2), none_done, [{}, {}])
    assert transitions.observations.tolist() == [[100.0], [12.0]]


def test_recorder_cuts_dict_observations() -> None:
    recorder = EpisodeRecorder(1)
    recorder.start({"a": np.array([[0.0]])})
    infos = [{"terminal_observation": {"a": np.array([1.0])}}]
    _, finished = recorder.record(np.array([0]), {"a": np.array([[9.0]])}, np.ones(1), np.array([True]), infos)
    assert finished[0].observations["a"][:, 0].tolist() == [0.0, 1.0]


def test_recorder_names_the_environment_that_paid_nan() -> None:
    recorder = EpisodeRecorder(2)
    recorder.start(np.zeros((2, 1)))
    with pytest.raises(ValueError, match="environment 1 paid nan at step 0"):
        recorder.record(np.zeros(2), np.zeros((2, 1)), np.array([0.0, np.nan]), np.zeros(2, dtype=bool), [{}, {}])


def test_recorder_asks_for_the_terminal_observation() -> None:
    recorder = EpisodeRecorder(1)
    recorder.start(np.zeros((1, 1)))
    with pytest.raises(ValueError, match="environment 0 is done, but its info lacks 'terminal_observation'"):
        recorder.record(np.zeros(1), np.zeros((1, 1)), np.zeros(1), np.array([True]), [{}])


def test_recorder_must_be_started() -> None:
    with pytest.raises(RuntimeError, match="reset"):
        EpisodeRecorder(1).record(np.zeros(1), np.zeros((1, 1)), np.zeros(1), np.array([False]), [{}])
