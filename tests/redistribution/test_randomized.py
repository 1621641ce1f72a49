from __future__ import annotations

import numpy as np
import pytest
import torch

from rudder_lrp.episodes.features import TransitionFeatures
from rudder_lrp.episodes.lessons import Lesson
from rudder_lrp.prediction.subsets import Subsets
from rudder_lrp.redistribution import RandomizedConfig, RandomizedRedistributor
from tests.conftest import SPACES, make_episode

FEATURES = TransitionFeatures(*SPACES)


def sampled_errors(error: str, steps: int, draws: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    rewards = rng.normal(size=steps)
    drawn = torch.from_numpy(np.stack([rng.permutation(rewards)[:3] for _ in range(draws)]))
    subsets = Subsets(torch.zeros(draws, 3, 1), *(torch.full((draws,), count) for count in (3, steps)))
    return rewards, getattr(subsets, error)(drawn, torch.full((draws,), 2.0)).numpy()


def test_the_unbiased_error_on_subsets_is_that_of_all_steps_on_average() -> None:
    rewards, found = sampled_errors("unbiased_error", 7)
    assert abs(found.mean() - (2.0 / 7 - rewards.mean()) ** 2) < 4 * found.std() / len(found) ** 0.5


def test_the_published_error_exceeds_it_by_the_variance_of_the_sampled_mean() -> None:
    rewards, found = sampled_errors("mean_error", 7)
    excess = rewards.var(ddof=1) * (1.0 - 3 / 7) / 3
    assert abs(found.mean() - (2.0 / 7 - rewards.mean()) ** 2 - excess) < 4 * found.std() / len(found) ** 0.5


@pytest.mark.parametrize("error", ["mean_error", "unbiased_error"])
def test_all_steps_at_once_give_the_plain_square_and_padding_is_no_step(error) -> None:
    counts = torch.tensor([2, 1])
    subsets = Subsets(torch.zeros(2, 2, 1), counts, counts)
    found = getattr(subsets, error)(torch.tensor([[1.0, 2.0], [1.0, 7.0]]), torch.tensor([5.0, 3.0]))
    assert found.tolist() == [1.0, 4.0]


def test_a_subset_holds_different_steps_of_each_episode_in_the_order_of_time() -> None:
    lessons = [Lesson(np.arange(n, dtype=np.float32)[:, None], np.zeros(n)) for n in (9, 2)]
    subsets = Subsets.draw(lessons, 4, np.random.default_rng(0))
    assert (subsets.counts.tolist(), subsets.steps.tolist()) == ([4, 2], [9, 2])
    assert (torch.diff(subsets.features[0, :, 0]) > 0).all()
    assert subsets.features[1, :, 0].tolist() == [0.0, 1.0, 0.0, 0.0]


def known_lessons(count: int, rng: np.random.Generator) -> tuple[list[Lesson], int]:
    """Thirty steps, paid at the end: one for each step whose second feature is set, and two more at every step."""
    lessons = []
    for _ in range(count):
        features = rng.normal(size=(30, len(FEATURES))).astype(np.float32)
        features[:, 1] = rng.integers(2, size=30)
        rewards = np.zeros(30)
        rewards[-1] = features[:, 1].sum() + 60.0
        lessons.append(Lesson(features, rewards))
    return lessons, 1


def fitted(unbiased: bool, seed: int) -> tuple[float, float]:
    """Correlation with the true decomposition, and the squared error as a share of that of a constant."""
    rng = np.random.default_rng(seed)
    lessons, column = known_lessons(200, rng)
    config = RandomizedConfig(subset=10, unbiased=unbiased)
    redistributor = RandomizedRedistributor(FEATURES, config=config, seed=seed)
    redistributor.fit(lessons, updates=500)
    fresh, _ = known_lessons(20, rng)
    rewards = np.stack(redistributor.redistribute(fresh))
    np.testing.assert_allclose(rewards.sum(axis=1), [lesson.episode_return for lesson in fresh])
    known = 2.0 + np.stack([lesson.features[:, column] for lesson in fresh])
    return np.corrcoef(rewards.ravel(), known.ravel())[0, 1], np.square(rewards - known).mean() / known.var()


@pytest.mark.parametrize(("unbiased", "most"), [(False, 0.7), (True, 0.3)])
def test_a_known_decomposition_is_found_and_sums_to_the_return(unbiased: bool, most: float) -> None:
    # Of five seeds, correlations were 0.93 to 0.95 and 0.98 to 0.99, errors 0.39 to 0.49 and 0.04 to 0.08.
    correlation, error = np.mean([fitted(unbiased, seed) for seed in range(3)], axis=0)
    assert correlation > 0.85
    assert error < most


def test_rewards_sum_to_the_true_return_before_and_after_training_whatever_was_paid_on_the_way() -> None:
    rng = np.random.default_rng(0)
    episodes = [make_episode(rng, steps) for steps in (1, 3, 17)]
    redistributor = RandomizedRedistributor(FEATURES)
    for _ in range(2):
        together = redistributor.redistribute(episodes)
        for episode, rewards in zip(episodes, together, strict=True):
            assert rewards.sum() == pytest.approx(episode.episode_return, abs=1e-6)
            np.testing.assert_allclose(redistributor.redistribute([episode])[0], rewards, atol=1e-5)
        redistributor.fit(episodes, updates=3)


def test_the_same_seed_makes_the_same_model_and_leaves_other_draws_alone() -> None:
    lessons, _ = known_lessons(5, np.random.default_rng(0))
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    ours, theirs, other = (RandomizedRedistributor(FEATURES, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.rand(1), expected)
    for redistributor in (ours, theirs, other):
        redistributor.fit(lessons, updates=5)
    one, same, another = (r.redistribute(lessons[:1])[0] for r in (ours, theirs, other))
    np.testing.assert_array_equal(one, same)
    assert not np.allclose(one, another)


@pytest.mark.parametrize("options", [{"subset": 1}, {"batch_size": 0}, {"updates": 0}, {"weight_decay": -1.0}])
def test_what_cannot_work_is_refused(options) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be a .* number of at least"):
        RandomizedConfig(**options)
    RandomizedConfig(subset=2, batch_size=1, updates=1, weight_decay=0.0)


def test_a_layer_of_no_units_is_refused() -> None:
    with pytest.raises(ValueError, match=r"hidden_sizes must be at least 1, got \(4, 0\)"):
        RandomizedRedistributor(FEATURES, hidden_sizes=(4, 0))
    RandomizedRedistributor(FEATURES, hidden_sizes=())


def test_nothing_to_learn_from_is_refused() -> None:
    with pytest.raises(ValueError, match="no episodes"):
        RandomizedRedistributor(FEATURES).fit([])


def lesson_of(steps: int, episode_return: float) -> Lesson:
    return Lesson(np.ones((steps, len(FEATURES)), np.float32), np.append(np.zeros(steps - 1), episode_return))


def test_rewards_are_counted_from_the_mean_steps_in_units_of_the_returns_deviation() -> None:
    """Two steps with 1 and six with 11: a step earns 12 / 8, and returns lie 2 below and 2 above that."""
    redistributor = RandomizedRedistributor(FEATURES)
    redistributor.fit([lesson_of(2, 1.0), lesson_of(6, 11.0)], updates=1)
    assert redistributor.level == pytest.approx(1.5)
    assert redistributor.scale == pytest.approx(2.0 / 4.0)
    redistributor.fit([lesson_of(2, 3.0), lesson_of(6, 9.0)], updates=1)
    assert (redistributor.level, redistributor.scale) == (1.5, 1.0)
