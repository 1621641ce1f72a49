"""Each method against what defines it, by another route, in float64."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import Tensor, nn

from rudder_lrp.attribution import (
    GradientTimesInput,
    IntegratedGradients,
    Occlusion,
    Sensitivity,
    ShapleySampling,
    SmoothGrad,
)
from tests.attribution.conftest import Model, make_model

KINDS = [{}, {"num_layers": 2}, {"bidirectional": True}]


def central_differences(model: Model, target: int, h: float = 1e-6) -> Tensor:
    gradient = torch.zeros_like(model.inputs)
    with torch.no_grad():
        for t in range(model.inputs.shape[1]):
            for feature in range(model.inputs.shape[2]):
                nudge = torch.zeros_like(model.inputs)
                nudge[:, t, feature] = h
                up, down = model.outputs(model.inputs + nudge), model.outputs(model.inputs - nudge)
                gradient[:, t, feature] = (up - down)[:, target] / (2 * h)
    return gradient


@pytest.mark.parametrize("kind", KINDS)
def test_sensitivity_is_the_absolute_slope(kind: dict) -> None:
    model = make_model(**kind)
    relevance = Sensitivity(model.lstm, model.readout).attribute(model.inputs, 1, lengths=model.lengths)
    torch.testing.assert_close(relevance, central_differences(model, 1).abs(), rtol=0, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_times_input_is_the_slope_times_the_input(kind: dict) -> None:
    model = make_model(**kind)
    relevance = GradientTimesInput(model.lstm, model.readout).attribute(model.inputs, 1, lengths=model.lengths)
    torch.testing.assert_close(relevance, central_differences(model, 1) * model.inputs, rtol=0, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_integrated_gradients_sum_to_output_minus_baseline_output(kind: dict) -> None:
    model = make_model(**kind)
    method = IntegratedGradients(model.lstm, model.readout, steps=300, baseline=0.3)
    relevance = method.attribute(model.inputs, 0, lengths=model.lengths)
    with torch.no_grad():
        change = (model.outputs(model.inputs) - model.outputs(torch.full_like(model.inputs, 0.3)))[:, 0]
    torch.testing.assert_close(relevance.sum((1, 2)), change, rtol=0, atol=1e-7)  # Captum rounds its points to float32


@pytest.mark.parametrize("rows", [1, 1024])
def test_integrated_gradients_are_the_mean_slope_on_the_way(rows: int) -> None:
    model = make_model()
    model = model._replace(inputs=model.inputs[:2, :3], lengths=torch.tensor([3, 1]))
    relevance = IntegratedGradients(model.lstm, model.readout, steps=60, rows=rows).attribute(
        model.inputs, 0, lengths=model.lengths
    )
    points = (torch.arange(60, dtype=torch.float64) + 0.5) / 60
    slopes = [central_differences(model._replace(inputs=model.inputs * point), 0) for point in points]
    torch.testing.assert_close(relevance, torch.stack(slopes).mean(0) * model.inputs, rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [1, 9, 1024])
def test_occlusion_is_the_loop_over_features(kind: dict, rows: int) -> None:
    model = make_model(**kind)
    method = Occlusion(model.lstm, model.readout, baseline=0.5, rows=rows)
    relevance = method.attribute(model.inputs, 0, lengths=model.lengths)
    expected = torch.zeros_like(relevance)
    with torch.no_grad():
        for t in range(5):
            for feature in range(2):
                occluded = model.inputs.clone()
                occluded[:, t, feature] = 0.5
                expected[:, t, feature] = (model.outputs(model.inputs) - model.outputs(occluded))[:, 0]
    torch.testing.assert_close(relevance, expected, rtol=0, atol=1e-12)


def test_occlusion_of_a_step_is_spread_over_its_features() -> None:
    model = make_model()
    relevance = Occlusion(model.lstm, model.readout, unit="step").attribute(model.inputs, 0, lengths=model.lengths)
    assert torch.equal(relevance[..., 0], relevance[..., 1])
    with torch.no_grad():
        for t in range(5):
            occluded = model.inputs.clone()
            occluded[:, t] = 0.0
            expected = (model.outputs(model.inputs) - model.outputs(occluded))[:, 0]
            torch.testing.assert_close(relevance[:, t].sum(1), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("unit", ["feature", "step"])
@pytest.mark.parametrize("kind", KINDS)
def test_shapley_values_are_efficient_with_a_single_sample(kind: dict, unit: str) -> None:
    model = make_model(**kind)
    method = ShapleySampling(model.lstm, model.readout, samples=1, unit=unit, baseline=0.3)
    relevance = method.attribute(model.inputs, 0, lengths=model.lengths)
    with torch.no_grad():
        change = (model.outputs(model.inputs) - model.outputs(torch.full_like(model.inputs, 0.3)))[:, 0]
    torch.testing.assert_close(relevance.sum((1, 2)), change, rtol=0, atol=5e-6)


def test_shapley_sampling_approaches_the_exact_values() -> None:
    model = make_model()
    model = model._replace(inputs=model.inputs[:1, :3], lengths=torch.tensor([3]))
    relevance = ShapleySampling(model.lstm, model.readout, samples=400, unit="step").attribute(model.inputs, 0)

    def worth(steps: tuple[int, ...]) -> Tensor:
        present = torch.zeros_like(model.inputs)
        present[:, list(steps)] = model.inputs[:, list(steps)]
        with torch.no_grad():
            return model.outputs(present)[0, 0]

    for t in range(3):
        one, two = (s for s in range(3) if s != t)
        gains = [worth((t,)) - worth(()), worth((one, t)) - worth((one,)), worth((two, t)) - worth((two,))]
        exact = (2 * gains[0] + gains[1] + gains[2] + 2 * (worth((0, 1, 2)) - worth((one, two)))) / 6
        assert abs(relevance[0, t].sum() - exact) < 0.1 * model.outputs(model.inputs)[0, 0].abs()


def test_smooth_grad_without_noise_is_gradient_times_input() -> None:
    model = make_model()
    smooth = SmoothGrad(model.lstm, model.readout, noise=0.0).attribute(model.inputs, 0, lengths=model.lengths)
    plain = GradientTimesInput(model.lstm, model.readout).attribute(model.inputs, 0, lengths=model.lengths)
    torch.testing.assert_close(smooth, plain, rtol=0, atol=1e-12)


def test_smooth_grad_depends_on_its_seed_alone() -> None:
    model = make_model()
    first, again, other = (
        SmoothGrad(model.lstm, model.readout, seed=seed).attribute(model.inputs, 0) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("method", [Sensitivity, GradientTimesInput, IntegratedGradients, Occlusion, ShapleySampling])
def test_a_readout_of_several_layers_is_explained_too(method: type) -> None:
    model = make_model()
    readout = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    relevance = method(model.lstm, readout).attribute(model.inputs, lengths=model.lengths)
    assert (relevance[0] != 0).all()


def test_without_captum_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    model = make_model()
    with pytest.raises(ImportError, match=r"rudder-lrp\[attribution\]"):
        Occlusion(model.lstm, model.readout).attribute(model.inputs, 0)


@pytest.mark.parametrize(
    ("method", "arguments", "message"),
    [
        (IntegratedGradients, {"steps": 0}, "at least 1 step, got 0"),
        (ShapleySampling, {"samples": 0}, "at least 1 permutation, got 0"),
        (SmoothGrad, {"samples": 0}, "samples >= 1"),
        (SmoothGrad, {"noise": -1.0}, "noise >= 0"),
        (Occlusion, {"unit": "word"}, "word"),
        (Occlusion, {"reads": "gate"}, "'hidden' or 'cell', got 'gate'"),
    ],
)
def test_senseless_settings_are_refused(method: type, arguments: dict, message: str) -> None:
    model = make_model()
    with pytest.raises(ValueError, match=message):
        method(model.lstm, model.readout, **arguments)
