from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.spaces.utils import flatten as gymnasium_flatten
from gymnasium.vector.utils import concatenate, create_empty_array

from rudder_lrp.episodes.episode import Episode, Transitions
from rudder_lrp.episodes.features import RunningNormalizer, TransitionFeatures, feature_names, flatten

SUPPORTED = [
    spaces.Box(-1.0, 1.0, (2, 3), np.float32),
    spaces.Discrete(4),
    spaces.Discrete(3, start=-1),
    spaces.MultiDiscrete([2, 5]),
    spaces.MultiBinary(3),
    spaces.Dict(b=spaces.Discrete(2), a=spaces.Box(0.0, 1.0, (2,), np.float32)),
    spaces.Tuple((spaces.Discrete(2), spaces.Dict(x=spaces.MultiBinary(2)))),
    spaces.Dict(nothing=spaces.Box(0.0, 1.0, (0,), np.float32), one=spaces.Box(0.0, 1.0, (), np.float32)),
]


@pytest.mark.parametrize("space", SUPPORTED, ids=str)
def test_flattening_agrees_with_gymnasium(space) -> None:
    space.seed(0)
    values = [space.sample() for _ in range(5)]
    batch = concatenate(space, values, create_empty_array(space, 5))
    expected = np.stack([gymnasium_flatten(space, value) for value in values])
    np.testing.assert_array_equal(flatten(space, batch), expected.astype(np.float32))
    assert len(feature_names(space, "obs")) == expected.shape[1]


@pytest.mark.parametrize("space", [spaces.Text(3), spaces.Dict(a=spaces.Text(2)), spaces.Dict({})], ids=str)
def test_unsupported_spaces_are_named_with_what_is_supported(space) -> None:
    with pytest.raises(TypeError, match="is not supported; supported are Box"):
        TransitionFeatures(space, spaces.Discrete(2))


def transition(after: list[float], first: bool = False, last: bool = False) -> Transitions:
    before = np.array([[1.0, 2.0]])
    return Transitions(before, np.array([2]), np.array([5.0]), np.array([after]), np.array([first]), np.array([last]))


def test_a_transition_shows_observation_change_action_and_reward() -> None:
    features = TransitionFeatures(spaces.Box(-9.0, 9.0, (2,), np.float32), spaces.Discrete(3))
    row = features.encode(transition([4.0, 1.0]))
    assert row.tolist() == [[4.0, 1.0, 3.0, -1.0, 0.0, 0.0, 1.0, 5.0]]
    assert features.names[2:5] == ["change[0]", "change[1]", "action=0"]


def test_the_reward_of_the_last_step_is_not_shown() -> None:
    features = TransitionFeatures(spaces.Box(-9.0, 9.0, (2,), np.float32), spaces.Discrete(3))
    assert features.encode(transition([4.0, 1.0], last=True))[0, -1] == 0.0


def test_changes_alone_are_counted_from_nothing_at_the_first_step() -> None:
    features = TransitionFeatures(spaces.Box(-9.0, 9.0, (2,), np.float32), spaces.Discrete(3), "changes")
    assert features.names[0] == "change[0]"
    assert features.encode(transition([4.0, 1.0])).tolist() == [[3.0, -1.0, 0.0, 0.0, 1.0, 5.0]]
    assert features.encode(transition([4.0, 1.0], first=True)).tolist() == [[4.0, 1.0, 0.0, 0.0, 1.0, 5.0]]


def test_a_non_finite_observation_is_named() -> None:
    features = TransitionFeatures(spaces.Box(-9.0, 9.0, (2,), np.float32), spaces.Discrete(3))
    with pytest.raises(ValueError, match=r"feature obs\[1\] of transition 0 is nan"):
        features.encode(transition([4.0, np.nan]))


def test_running_statistics_equal_those_of_all_rows() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(3.0, 2.0, size=(90, 4)).astype(np.float32)
    normalizer = RunningNormalizer(4)
    for part in np.split(rows, [10, 35]):
        normalizer.update(part)
    np.testing.assert_allclose(normalizer.mean, rows.mean(0), rtol=1e-5)
    np.testing.assert_allclose(normalizer.variance, rows.var(0), rtol=1e-5)


def test_a_single_row_counts_when_statistics_are_merged() -> None:
    whole, one, other = RunningNormalizer(2), RunningNormalizer(2), RunningNormalizer(2)
    rows = np.array([[0.0, 1.0], [2.0, 5.0]], dtype=np.float32)
    whole.update(rows)
    one.update(rows[:1])
    other.update(rows[1:])
    one.merge(other)
    assert (one.mean.tolist(), one.variance.tolist()) == (whole.mean.tolist(), whole.variance.tolist())


def test_constant_features_do_not_blow_up() -> None:
    normalizer = RunningNormalizer(1)
    normalizer.update(np.full((50, 1), 7.0, dtype=np.float32))
    assert normalizer(torch.tensor([[7.0], [8.0]])).tolist() == [[0.0], [1.0]]


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_a_rare_outlier_counts_for_no_more_than_ten_deviations(sign) -> None:
    normalizer = RunningNormalizer(1)
    normalizer.update(np.array([[-2.0], [2.0]], dtype=np.float32))
    assert normalizer(sign * torch.tensor([[19.0], [1e6]])).tolist() == [[sign * 9.5], [sign * 10.0]]


def test_statistics_merge_as_if_all_had_been_shown_to_one() -> None:
    rows = np.random.default_rng(0).normal(3.0, 2.0, size=(90, 4)).astype(np.float32)
    one, other = RunningNormalizer(4), RunningNormalizer(4)
    one.merge(other)
    assert (one.count, one.variance.tolist()) == (0.0, [1.0] * 4)
    one.update(rows[:20])
    other.update(rows[20:])
    one.merge(other)
    np.testing.assert_allclose(one.mean, rows.mean(0), rtol=1e-5)
    np.testing.assert_allclose(one.variance, rows.var(0), rtol=1e-5)
    assert one.count == 90.0


def test_a_discrete_value_may_lie_in_a_column_of_its_own() -> None:
    values = np.array([2, 0, 1])
    np.testing.assert_array_equal(flatten(spaces.Discrete(3), values[:, None]), flatten(spaces.Discrete(3), values))


def changes(space: spaces.Space, observations: np.ndarray) -> np.ndarray:
    features = TransitionFeatures(space, spaces.Discrete(2))
    episode = Episode(observations, np.zeros(len(observations) - 1, int), np.ones(len(observations) - 1))
    return features.encode_episode(episode)[:, len(feature_names(space, "")) : 2 * len(feature_names(space, ""))]


@pytest.mark.parametrize("dtype", [np.float64, np.int64, np.int32])
def test_small_changes_of_large_observations_are_seen(dtype) -> None:
    steps = np.array([0, 1, 3, 6])[:, None]
    space = spaces.Box(-np.inf, np.inf, (1,), np.float64)
    near, far = (changes(space, (base + steps).astype(dtype)) for base in (0, 1_700_000_000))
    np.testing.assert_array_equal(near[:, 0], [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(near, far)


def test_booleans_and_unsigned_integers_change_by_one_either_way() -> None:
    for values in (np.array([[True], [False], [True]]), np.array([[1], [0], [1]], np.uint8)):
        assert changes(spaces.Box(0, 1, (1,), values.dtype), values)[:, 0].tolist() == [-1.0, 1.0]


@pytest.mark.parametrize("value", [-1, 3, 1.5, np.nan])
@pytest.mark.parametrize("space", [spaces.Discrete(3), spaces.MultiDiscrete([3, 3])], ids=str)
def test_discrete_values_outside_their_space_are_refused(space, value) -> None:
    values = np.ones((4, 2) if isinstance(space, spaces.MultiDiscrete) else 4)
    values[2] = value
    with pytest.raises(ValueError, match=r"at row 2, .* is outside of it"):
        flatten(space, values)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300, -1e19])
def test_observations_that_no_variance_can_be_taken_of_are_named(value) -> None:
    observations = np.zeros((3, 2))
    observations[2, 1] = value
    features = TransitionFeatures(spaces.Box(-np.inf, np.inf, (2,), np.float64), spaces.Discrete(2))
    with pytest.raises(ValueError, match=r"feature obs\[1\] of transition 1 is"):
        features.encode_episode(Episode(observations, np.zeros(2, int), np.ones(2)))


def test_pictures_of_floats_are_seen_as_pictures_of_bytes_are() -> None:
    rng = np.random.default_rng(0)
    whole = rng.integers(0, 256, size=(5, 40, 40, 3), dtype=np.uint8)
    as_bytes, as_floats = spaces.Box(0, 255, (40, 40, 3), np.uint8), spaces.Box(0.0, 1.0, (40, 40, 3), np.float32)
    np.testing.assert_allclose(flatten(as_floats, whole / 255.0), flatten(as_bytes, whole), atol=1e-6)
    assert len(TransitionFeatures(as_floats, spaces.Discrete(2)).images) == 1
    assert not TransitionFeatures(spaces.Box(-1.0, 1.0, (4, 4, 3)), spaces.Discrete(2)).images


def test_spaces_so_wide_that_an_lstm_cannot_be_meant_are_named(caplog) -> None:
    with caplog.at_level(logging.WARNING):
        TransitionFeatures(spaces.Box(-1.0, 1.0, (100,)), spaces.Discrete(2))
        assert not caplog.text
        TransitionFeatures(spaces.Box(-1.0, 1.0, (50_000,)), spaces.Discrete(2))
    assert "these spaces make 100003 features a step" in caplog.text


@pytest.mark.parametrize(
    "values", [np.zeros((2, 4)), (np.zeros(2),) * 3, [None, None], np.zeros((2, 3), complex), [["a"] * 3] * 2, 1.0]
)
def test_values_that_are_no_numbers_of_their_space_are_refused_with_both(values) -> None:
    with pytest.raises(ValueError, match=r"found values of shape .* where the space is Box.*mend its space"):
        flatten(spaces.Box(-1.0, 1.0, (3,)), values)


def test_tensors_are_taken_out_of_their_graph() -> None:
    values = torch.arange(6.0, requires_grad=True).reshape(2, 3)
    np.testing.assert_array_equal(flatten(spaces.Box(-1.0, 1.0, (3,)), values), np.arange(6.0).reshape(2, 3))
