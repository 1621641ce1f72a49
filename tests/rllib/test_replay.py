from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("ray.rllib", reason='needs Ray: pip install "rudder-lrp[rllib]"')

from rudder_lrp import LRPRedistributor
from rudder_lrp.rllib import replay
from rudder_lrp.rllib.settings import CreditSettings
from tests.conftest import SPACES
from tests.rllib.play import QUICK, StandIn, cut, played, sampled

KINDS = sorted(replay.REDISTRIBUTED)


@pytest.fixture
def buffer(monkeypatch):
    """Builds a buffer of some kind that follows a predictor which is trusted by half."""

    def build(kind: str, capacity: int = 1000):
        monkeypatch.setattr(replay, "PredictorClient", lambda *_: StandIn(trust=0.5))
        settings = CreditSettings(QUICK, partial(LRPRedistributor, residual="spread"))
        config = SimpleNamespace(
            credit=settings,
            normalize_actions=False,
            clip_actions=False,
            replay_buffer_config={"type": kind, "capacity": capacity},
        )
        return replay.redistributed_buffer(config, SPACES)

    return build


@pytest.mark.parametrize("kind", KINDS)
def test_a_finished_episode_holds_its_true_return_in_other_rewards_whatever_the_predictor_becomes(buffer, kind) -> None:
    stored = buffer(kind)
    rng = np.random.default_rng(0)
    episodes = [played(rng) for _ in range(6)]
    for number, episode in enumerate(episodes):
        for fragment in cut(sampled(episode, identity=str(number)), 4, 11):
            stored.add(fragment)
    for version in range(3):
        stored._client.retrain(version)
        stored.sample(num_items=4, n_step=1, sample_episodes=True)
        for held, episode in zip(stored.episodes, episodes, strict=True):
            assert held.get_return() == pytest.approx(episode.episode_return, abs=1e-3)
            assert np.abs(held.get_rewards() - episode.rewards).max() > 0.1
            assert stored._stored[held.id_].version == ("life", version)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_known_is_spread_and_running_episodes_keep_their_own_rewards(buffer, kind) -> None:
    stored = buffer(kind)
    stored._client.trust = 0.0
    episode = played(np.random.default_rng(1))
    first, second = cut(sampled(episode), 8)
    stored.add(first)
    np.testing.assert_allclose(stored.episodes[0].get_rewards(), episode.rewards[:8], rtol=1e-6)
    stored.add(second)
    spread = episode.episode_return - episode.rewards[:-1].sum()
    expected = np.append(episode.rewards[:-1], 0.0) + spread / 20
    np.testing.assert_allclose(stored.episodes[0].get_rewards(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_buffer_drops_is_forgotten_with_it(buffer, kind) -> None:
    stored = buffer(kind, capacity=50)
    rng = np.random.default_rng(2)
    for number in range(8):
        stored.add(sampled(played(rng), identity=str(number)))
    stored.add(cut(sampled(played(rng), identity="runs for ever"), 5)[0])
    assert set(stored._stored) == set(stored.episode_id_to_index) - {"runs for ever"}
    assert len(stored._running) == 1
    assert len(stored._client.sent) == 8


def test_only_so_many_steps_are_redistributed_at_once(buffer, monkeypatch) -> None:
    monkeypatch.setattr(replay, "_STEPS_AT_ONCE", 40)
    stored = buffer(KINDS[0])
    rng = np.random.default_rng(3)
    for number in range(6):
        stored.add(sampled(played(rng), identity=str(number)))
    stored._client.retrain(9)
    for expected in (2, 4, 6):
        stored.sample(num_items=2, n_step=1, sample_episodes=True)
        assert sum(one.version == ("life", 9) for one in stored._stored.values()) == expected
