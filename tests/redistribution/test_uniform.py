from __future__ import annotations

import numpy as np
import pytest

from rudder_lrp.episodes.features import TransitionFeatures
from rudder_lrp.episodes.lessons import Lesson
from rudder_lrp.redistribution import IRCRRedistributor, UniformRedistributor
from tests.conftest import SPACES, make_episode

FEATURES = TransitionFeatures(*SPACES)


def test_every_step_earns_the_same_share_of_the_true_return() -> None:
    rng = np.random.default_rng(0)
    episodes = [make_episode(rng, steps) for steps in (1, 4, 9)]
    for episode, rewards in zip(episodes, UniformRedistributor(FEATURES).redistribute(episodes), strict=True):
        np.testing.assert_allclose(rewards, episode.episode_return / len(episode))


def visits(*steps: int, episode_return: float) -> Lesson:
    """An episode of transitions that are told apart by one number, paid at its end."""
    features = np.zeros((len(steps), len(FEATURES)), np.float32)
    features[:, 0] = steps
    return Lesson(features, np.append(np.zeros(len(steps) - 1), episode_return))


def test_guidance_is_the_relative_return_averaged_over_the_visits() -> None:
    redistributor = IRCRRedistributor(FEATURES)
    lessons = [visits(0, 1, episode_return=10.0), visits(0, 2, episode_return=-10.0), visits(1, 3, episode_return=0.0)]
    redistributor.fit(lessons)
    assert redistributor.guidance(visits(0, 1, 2, 3, 9, episode_return=0.0).features).tolist() == [
        0.5,  # once 1, once 0
        0.75,  # once 1, once 1/2
        0.0,
        0.5,
        0.5,  # never seen: the mean episode
    ]
    good, bad, _ = redistributor.redistribute(lessons)
    np.testing.assert_allclose(good, [5.0 - 1.25, 5.0 + 1.25])  # 0 and 5 by its guidance, halved, and the rest evenly
    np.testing.assert_allclose(bad, [-5.0 + 2.5, -5.0 - 2.5])


def test_where_nothing_is_visited_twice_relative_returns_are_uniform() -> None:
    rng = np.random.default_rng(0)
    episodes = [make_episode(rng, steps) for steps in (1, 4, 9)]
    redistributor = IRCRRedistributor(FEATURES)
    for _ in range(2):
        for episode, rewards in zip(episodes, redistributor.redistribute(episodes), strict=True):
            np.testing.assert_allclose(rewards, episode.episode_return / len(episode), atol=1e-6)
        redistributor.fit(episodes)
    with pytest.raises(ValueError, match="no episodes"):
        redistributor.fit([])
