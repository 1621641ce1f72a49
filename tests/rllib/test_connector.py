from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("ray.rllib", reason='needs Ray: pip install "rudder-lrp[rllib]"')

from ray.rllib.connectors.learner import AddOneTsToEpisodesAndTruncate

from rudder_lrp.rllib.connector import CREDIT, LearnerConnectors, RedistributedRewards, put_credit
from tests.rllib.play import cut, played, sampled


def learnt_from(episodes: list) -> list:
    RedistributedRewards()(rl_module=None, batch={}, episodes=episodes)
    return episodes


@pytest.mark.parametrize("bootstrapped", [False, True])
def test_the_learner_sees_credit_and_the_env_runner_keeps_the_true_rewards(bootstrapped) -> None:
    episode = sampled(played(np.random.default_rng(0)))
    true, handed = np.array(episode.get_rewards()), np.arange(20.0)
    put_credit(episode, handed)
    episodes = [episode]
    if bootstrapped:
        AddOneTsToEpisodesAndTruncate()(rl_module=None, batch={}, episodes=episodes, shared_data={})
    (seen,) = learnt_from(episodes)
    np.testing.assert_array_equal(seen.get_rewards(), [*handed, 0.0] if bootstrapped else handed)
    assert CREDIT not in seen.extra_model_outputs
    np.testing.assert_allclose(episode.get_rewards()[:20], true, rtol=1e-6)
    assert episode.get_return() == pytest.approx(true.sum(), rel=1e-5)


def test_credit_stays_with_its_steps_when_an_episode_is_sliced_for_several_learners() -> None:
    fragment = cut(sampled(played(np.random.default_rng(1))), 6)[1]
    put_credit(fragment, np.arange(6.0, 20.0))
    seen = learnt_from([fragment[:5], fragment[5:]])
    np.testing.assert_array_equal(np.concatenate([part.get_rewards() for part in seen]), np.arange(6.0, 20.0))


def test_an_episode_without_credit_is_refused_with_the_remedy() -> None:
    with pytest.raises(ValueError, match=r"let with_credit be the last to change the config, after config.callbacks"):
        learnt_from([sampled(played(np.random.default_rng(2)))])


def test_connectors_that_a_config_had_stay_behind_the_redistributed_rewards() -> None:
    own = RedistributedRewards()
    for others, kept in ((None, []), (lambda *_: own, [own]), (lambda *_: [own, own], [own, own])):
        first, *rest = LearnerConnectors(others)(None, None)
        assert isinstance(first, RedistributedRewards)
        assert rest == kept
