from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from gymnasium import spaces

from rudder_lrp.lstm import Structure
from rudder_lrp.prediction.predictor import Head, ReturnPredictor
from rudder_lrp.prediction.stepping import RunningPredictions
from tests.conftest import SPACES

IMAGES = spaces.Box(0, 255, (12, 12, 3), np.uint8), spaces.Discrete(2)


def followed(running: RunningPredictions, features: torch.Tensor) -> np.ndarray:
    """What is predicted step by step of features `[N, T, F]`, in the mean over the members, `[N, T]`."""
    return np.stack([running.step(row.numpy()).mean(axis=1) for row in features.unbind(dim=1)], axis=1)


def whole(predictor: ReturnPredictor, features: torch.Tensor) -> np.ndarray:
    """The same of the whole sequence at once, in float64."""
    exact = copy.deepcopy(predictor).double()
    return exact.in_return_units(exact(features.double())).detach().numpy()


def predictor_of(structure: Structure = Structure.MINIMAL, given=SPACES) -> ReturnPredictor:
    predictor = ReturnPredictor.for_spaces(*given, structure=structure, hidden_size=8, seed=1)
    seen = np.random.default_rng(0).normal(2.0, 3.0, (50, len(predictor.features)))
    predictor.normalizer.update(seen.astype(np.float32))
    predictor.rescale_(1000.0, 7.0)
    return predictor


@pytest.mark.parametrize("structure", list(Structure))
def test_stepping_gives_the_same_predictions_as_the_whole_sequence(structure) -> None:
    predictor = predictor_of(structure)
    features = 5.0 * torch.randn(3, 40, len(predictor.features))
    for head in Head:
        predictor.read_with_(head)
        np.testing.assert_allclose(
            followed(RunningPredictions(predictor, 3), features), whole(predictor, features), atol=1e-4
        )


def test_stepping_sees_images_as_the_whole_sequence_does() -> None:
    predictor = predictor_of(given=IMAGES)
    features = torch.rand(2, 6, len(predictor.features))
    np.testing.assert_allclose(
        followed(RunningPredictions(predictor, 2), features), whole(predictor, features), atol=1e-4
    )


def test_members_are_told_apart_and_before_the_first_step_there_is_the_bias_alone() -> None:
    predictor = predictor_of()
    with torch.no_grad():
        predictor.heads[predictor.reads].get_parameter("bias").copy_(torch.arange(4.0))
    running = RunningPredictions(predictor, 1)
    np.testing.assert_allclose(running.outset, 1000.0 + 7.0 * np.arange(4))
    features = torch.randn(1, 3, len(predictor.features))
    changes = predictor.member_changes(features).detach().double().sum(dim=1)
    by_step = [running.step(row.numpy()) for row in features.unbind(dim=1)]
    np.testing.assert_allclose(by_step[-1], running.outset + 7.0 * changes.numpy(), atol=1e-4)


@pytest.mark.parametrize(
    "change",
    [
        lambda predictor: predictor.reset_(1),
        lambda predictor: predictor.read_with_(Head.SHARE),
        lambda predictor: predictor.rescale_(3.0, 2.0),
        lambda predictor: predictor.normalizer.update(np.full((20, len(predictor.features)), 9.0, np.float32)),
        lambda predictor: predictor.load_state_dict(predictor_of().state_dict()),
    ],
)
def test_whatever_changes_a_predictor_changes_the_next_step(change) -> None:
    predictor = predictor_of()
    with torch.no_grad():
        predictor.lstm.get_parameter("weight_ih_l0").mul_(2.0)
    row, running = torch.randn(1, len(predictor.features)).numpy(), RunningPredictions(predictor, 1)
    before = running.step(row)
    change(predictor)
    running.restart(np.array([True]))
    after = running.step(row)
    assert (after != before).any()
    np.testing.assert_array_equal(after, RunningPredictions(predictor, 1).step(row))
