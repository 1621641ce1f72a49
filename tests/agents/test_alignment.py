from __future__ import annotations

from itertools import combinations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agents.tabular.aligned import AlignedCredit
from agents.tabular.alignment import Events, Profile, build_profile, clusters, successor_representation
from agents.tabular.credits import CreditConfig
from agents.tabular.lockstep import Draws, Exploration, Rollout, play
from envs import Choice, FiniteEnv
from rudder_lrp.redistribution.metrics import credit_fidelity
from studies.proving_ground.fidelity import decisive_steps

KINDS = st.lists(st.integers(0, 2), max_size=6)


def heaviest_common_subsequence(profile: Profile, kinds: list[int]) -> float:
    best = 0.0
    for size in range(min(len(kinds), len(profile.kinds)) + 1):
        for columns in combinations(range(len(profile.kinds)), size):
            wanted = [int(profile.kinds[column]) for column in columns]
            if any([kinds[at] for at in chosen] == wanted for chosen in combinations(range(len(kinds)), size)):
                best = max(best, float(profile.scores[list(columns)].sum()))
    return best


@given(columns=KINDS, kinds=KINDS.filter(len), seed=st.integers(0, 99))
def test_an_alignment_is_the_heaviest_common_subsequence_at_every_step(columns, kinds, seed) -> None:
    profile = Profile(np.array(columns, np.int64), np.random.default_rng(seed).random(len(columns)))
    found = profile.matched(np.array(kinds))
    assert (np.diff(found, prepend=0.0) >= 0.0).all()
    for at, score in enumerate(found, start=1):
        assert abs(score - heaviest_common_subsequence(profile, kinds[:at])) < 1e-12


@given(kinds=KINDS.filter(len), n=st.integers(1, 4))
def test_the_profile_of_equal_episodes_is_that_episode(kinds: list[int], n: int) -> None:
    share = np.array([0.1, 0.5, 0.9])
    profile = build_profile([np.array(kinds)] * n, share)
    assert profile.kinds.tolist() == kinds
    np.testing.assert_allclose(profile.scores, -np.log(share[kinds]))


@given(episodes=st.lists(KINDS.filter(len), min_size=1, max_size=4))
def test_every_good_episode_is_part_of_the_profile_in_its_order(episodes: list[list[int]]) -> None:
    profile = build_profile([np.array(kinds) for kinds in episodes], np.full(3, 0.1))
    for kinds in episodes:
        rest = iter(profile.kinds.tolist())
        assert all(kind in rest for kind in kinds)


def test_what_is_as_common_in_all_episodes_is_worth_nothing() -> None:
    rare, common = 0, 1
    profile = build_profile([np.array([rare, common]), np.array([common, rare])], np.array([0.05, 1.0]))
    assert profile.scores[profile.kinds == common].max() == 0.0
    assert profile.scores[profile.kinds == rare].max() > 0.0


def test_events_are_entrances() -> None:
    events = Events.of(np.array([3, 3, 1, 1, 3]))
    assert events.kinds.tolist() == [1, 3]
    assert events.steps.tolist() == [1, 3]


def test_the_successor_representation_counts_discounted_visits() -> None:
    found = successor_representation(np.array([[0, 1, 1]]), np.array([2]), n_states=2, discount=0.5)
    np.testing.assert_allclose(found, [[1.0, 1.0], [0.0, 2.0]])


def test_clusters_are_as_far_apart_as_can_be() -> None:
    points = np.array([[0.0], [0.1], [5.0], [5.1], [9.0]])
    assert clusters(points, 3).tolist() == [0, 0, 2, 2, 1]
    assert clusters(points[[0, 0, 2]], 3).tolist() == [0, 0, 1]


def random_episodes(env: FiniteEnv, n: int) -> Rollout:
    model = env.model
    draws = Draws([np.random.default_rng(0)], n, model.steps)
    return play(model, np.zeros((1, *model.shape)), draws, draws.exploring(Exploration(), 1.0, model.shape[2]))


def test_the_credit_of_aligned_episodes_lies_on_the_choice() -> None:
    env = Choice(20)
    rollout = random_episodes(env, 200)
    credit = AlignedCredit(env.model, CreditConfig())
    assert credit.q == 0.0
    assert credit.learn(rollout, [], 200)
    assert not credit.learn(rollout, [], 210)
    assert credit.q > 0.99
    decisive = decisive_steps(env.model, rollout)
    rows = zip(credit.contributions(rollout, []), decisive, strict=True)
    shares = [credit_fidelity(row, mask) for row, mask in rows if row.any()]
    assert len(shares) > 50
    assert min(shares) > 0.99


def test_where_all_episodes_are_paid_alike_there_is_no_credit() -> None:
    env = Choice(5)
    rollout = random_episodes(env, 200)
    credit = AlignedCredit(env.model, CreditConfig())
    credit.learn(rollout._replace(rewards=np.zeros_like(rollout.rewards)), [], 200)
    assert credit.q == 0.0
    assert not credit.contributions(rollout, []).any()
