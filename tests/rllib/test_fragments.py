from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("ray.rllib", reason='needs Ray: pip install "rudder-lrp[rllib]"')

from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

from rudder_lrp import LRPRedistributor
from rudder_lrp.redistribution.causal import CausalCredit
from rudder_lrp.rllib.fragments import actions_taken
from tests.conftest import SPACES
from tests.rllib.play import SETTINGS, StandIn, credit, cut, played, sampled


@given(st.integers(0, 2**31), st.lists(st.integers(1, 19), unique=True, max_size=6), st.floats(0.0, 1.0))
def test_fragments_earn_the_true_return_however_an_episode_is_cut_and_the_predictor_changes(seed, cuts, trust) -> None:
    client = StandIn(trust)
    handing = credit(client)
    episode = played(np.random.default_rng(seed))
    earned, lessons = [], []
    for number, fragment in enumerate(cut(sampled(episode), *sorted(cuts))):
        client.retrain(number)
        client.trust = trust * (number % 2 + 1) / 2
        handed, lesson = handing.earn(fragment)
        earned.append(handed)
        lessons.append(lesson)
    assert np.concatenate(earned).sum() == pytest.approx(episode.episode_return, rel=1e-5, abs=1e-4)
    assert [lesson is None for lesson in lessons] == [True] * len(cuts) + [False]
    np.testing.assert_array_equal(lessons[-1].rewards, episode.rewards)
    np.testing.assert_array_equal(lessons[-1].features, client.predictor.features.encode_episode(episode))
    assert len(handing.running) == 0


@pytest.mark.parametrize("cuts", [(), (1,), (7, 8, 15)])
def test_fragments_earn_what_a_stepped_environment_is_handed(cuts) -> None:
    client = StandIn(trust=0.6)
    episode = played(np.random.default_rng(3))
    stepped = CausalCredit(SETTINGS.online(SPACES), 1)
    stepped.online.predictor.load_state_dict(client.predictor.state_dict())
    stepped.restart()
    stepped.online.quality = stepped.online.quality._replace(slope=0.6)
    found = [
        stepped.step(
            episode.observations[[at]],
            episode.actions[[at]],
            episode.rewards[[at]],
            episode.observations[[at + 1]],
            np.array([at == len(episode) - 1]),
        )[0]
        for at in range(len(episode))
    ]
    handing = credit(client)
    earned = np.concatenate([handing.earn(fragment)[0] for fragment in cut(sampled(episode), *cuts)])
    np.testing.assert_allclose(earned, found, rtol=1e-4, atol=1e-4)


def test_only_an_episode_in_one_piece_is_redistributed_in_hindsight() -> None:
    client = StandIn(trust=1.0)
    hindsight = replace(SETTINGS, redistributor=lambda predictor: LRPRedistributor(predictor, hindsight=True))
    episode = played(np.random.default_rng(4))
    expected = hindsight.redistributor(client.predictor).redistribute([episode])[0]
    whole, _ = credit(client, settings=hindsight).earn(sampled(episode))
    np.testing.assert_allclose(whole, expected, rtol=1e-4, atol=1e-4)
    parts, causal = (credit(client, settings=settings) for settings in (hindsight, SETTINGS))
    for fragment in cut(sampled(episode), 12):
        np.testing.assert_array_equal(parts.earn(fragment)[0], causal.earn(fragment)[0])


def test_an_episode_that_does_not_end_is_settled_and_keeps_its_own_rewards_from_there() -> None:
    handing = credit(StandIn(trust=1.0), longest=12)
    episode = played(np.random.default_rng(5))
    parts = [handing.earn(fragment) for fragment in cut(sampled(episode), 5, 10, 15)]
    earned = np.concatenate([handed for handed, _ in parts])
    assert earned[:12].sum() == pytest.approx(episode.rewards[:12].sum(), abs=1e-4)
    np.testing.assert_allclose(earned[12:], episode.rewards[12:], rtol=1e-6)
    assert all(lesson is None for _, lesson in parts)


def test_an_episode_that_was_not_seen_from_its_first_step_keeps_its_own_rewards() -> None:
    handing = credit(StandIn(trust=1.0))
    episode = played(np.random.default_rng(6))
    _, *rest = cut(sampled(episode), 5, 10)
    for fragment in rest:
        handed, lesson = handing.earn(fragment)
        np.testing.assert_allclose(handed, fragment.get_rewards(), rtol=1e-6)
        assert lesson is None


def test_a_reward_that_is_not_finite_is_refused_with_its_step() -> None:
    episode = sampled(played(np.random.default_rng(7)))
    episode.rewards.data[4] = np.nan
    with pytest.raises(ValueError, match="reward nan at index 4 of the fragment"):
        credit(StandIn()).earn(episode)


def test_what_the_predictor_sees_of_an_action_is_what_the_environment_saw() -> None:
    space = spaces.Box(np.array([-2.0, 0.0], np.float32), np.array([2.0, 1.0], np.float32))
    drawn = np.array([[-1.0, 0.0], [3.0, 0.5]], dtype=np.float32)
    np.testing.assert_allclose(actions_taken(drawn, space, normalize=True, clip=False), [[-2.0, 0.5], [2.0, 0.75]])
    np.testing.assert_allclose(actions_taken(drawn, space, normalize=False, clip=True), [[-1.0, 0.0], [2.0, 0.5]])
