from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from rudder_lrp import attribution
from rudder_lrp.lrp import LRP
from tests.attribution.conftest import Model, make_model

METHODS = {
    "sensitivity": attribution.Sensitivity,
    "gradient_times_input": attribution.GradientTimesInput,
    "integrated_gradients": partial(attribution.IntegratedGradients, steps=8),
    "occlusion": attribution.Occlusion,
    "occlusion_of_steps": partial(attribution.Occlusion, unit="step"),
    "shapley": partial(attribution.ShapleySampling, samples=2),
    "shapley_of_steps": partial(attribution.ShapleySampling, samples=2, unit="step"),
    "smooth_grad": partial(attribution.SmoothGrad, samples=3),
    "contextual_decomposition": attribution.ContextualDecomposition,
    "contextual_decomposition_of_steps": partial(attribution.ContextualDecomposition, unit="step"),
    "lrp": LRP,
}
FLOAT32_SUMS = ("shapley", "shapley_of_steps")
RIVALS = {name: method for name, method in METHODS.items() if name != "lrp"}
MODELS = {
    "one_layer": {},
    "no_bias": {"bias": False},
    "stacked": {"num_layers": 2},
    "bidirectional": {"bidirectional": True},
    "stacked_bidirectional": {"num_layers": 2, "bidirectional": True},
    "projected": {"proj_size": 2},
}


@pytest.fixture(params=METHODS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def close(name: str) -> dict[str, float]:
    return {"rtol": 0.0, "atol": 2e-6 if name in FLOAT32_SUMS else 1e-12}


def test_is_an_attribution(name: str, make_model: Callable[..., Model]) -> None:
    model = make_model()
    assert isinstance(METHODS[name](model.lstm, model.readout), attribution.Attribution)


def test_relevance_is_shaped_like_the_inputs_and_not_zero(name: str, make_model: Callable[..., Model]) -> None:
    model = make_model()
    relevance = METHODS[name](model.lstm, model.readout).attribute(model.inputs, 1, lengths=model.lengths)
    assert relevance.shape == model.inputs.shape
    assert relevance.dtype == model.inputs.dtype
    assert (relevance[0] != 0).all()
    assert not relevance.requires_grad


def test_padding_gets_exactly_zero_and_changes_nothing(name: str, make_model: Callable[..., Model]) -> None:
    model = make_model()
    method = METHODS[name](model.lstm, model.readout)
    relevance = method.attribute(model.inputs, 0, lengths=model.lengths)
    padding = torch.arange(5) >= model.lengths[:, None]
    assert (relevance[padding] == 0).all()
    other = model.inputs.clone()
    other[padding] = torch.nan
    torch.testing.assert_close(method.attribute(other, 0, lengths=model.lengths), relevance, **close(name))


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("rival", RIVALS)
def test_a_sequence_gets_the_same_alone_as_in_a_batch(rival: str, kind: str) -> None:
    if kind == "projected" and rival.startswith("contextual"):
        pytest.skip("refused, see test_contextual_decomposition")
    model = make_model(**MODELS[kind])
    method = RIVALS[rival](model.lstm, model.readout)
    together = method.attribute(model.inputs, 0, lengths=model.lengths)
    for sequence, length, relevance in zip(model.inputs, model.lengths.tolist(), together, strict=True):
        alone = method.attribute(sequence[None, :length], 0)[0]
        torch.testing.assert_close(relevance[:length], alone, **close(rival))


def test_time_may_come_first(name: str, make_model: Callable[..., Model]) -> None:
    model = make_model()
    time_first = nn.LSTM(2, 3).double()
    time_first.load_state_dict(model.lstm.state_dict())
    relevance = METHODS[name](time_first, model.readout).attribute(
        model.inputs.transpose(0, 1), 0, lengths=model.lengths
    )
    expected = METHODS[name](model.lstm, model.readout).attribute(model.inputs, 0, lengths=model.lengths)
    torch.testing.assert_close(relevance.transpose(0, 1), expected, **close(name))


def test_packed_sequences_are_returned_in_kind(name: str, make_model: Callable[..., Model]) -> None:
    model = make_model()
    method = METHODS[name](model.lstm, model.readout)
    packed = pack_padded_sequence(model.inputs, model.lengths, batch_first=True, enforce_sorted=False)
    unpacked, lengths = pad_packed_sequence(method.attribute(packed, 0), batch_first=True)
    expected = method.attribute(model.inputs, 0, lengths=model.lengths)
    assert torch.equal(lengths, model.lengths)
    torch.testing.assert_close(unpacked, expected, **close(name))
    with pytest.raises(ValueError, match="brings its lengths"):
        method.attribute(packed, 0, lengths=model.lengths)


def test_each_sequence_may_have_its_own_target(name: str, make_model: Callable[..., Model]) -> None:
    model = make_model()
    method = METHODS[name](model.lstm, model.readout)
    targets = torch.tensor([0, 1, 1, 0])
    together = method.attribute(model.inputs, targets, lengths=model.lengths)
    for target in (0, 1):
        one = method.attribute(model.inputs, target, lengths=model.lengths)
        torch.testing.assert_close(together[targets == target], one[targets == target], **close(name))


@pytest.mark.parametrize("rival", RIVALS)
def test_the_cell_state_may_be_read(rival: str) -> None:
    model = make_model()
    read = RIVALS[rival](model.lstm, model.readout, reads="cell")
    relevance = read.attribute(model.inputs, 0, lengths=model.lengths)
    assert (relevance[0] != RIVALS[rival](model.lstm, model.readout).attribute(model.inputs[:1], 0)[0]).all()


def test_the_model_is_not_modified(name: str, make_model: Callable[..., Model]) -> None:
    model = make_model(num_layers=1)
    model.lstm.train()
    model.readout.eval()
    before = copy.deepcopy(model.lstm.state_dict())
    inputs = model.inputs.clone()
    state = torch.get_rng_state()
    METHODS[name](model.lstm, model.readout).attribute(inputs, 0, lengths=model.lengths)
    assert model.lstm.training
    assert not model.readout.training
    assert all(parameter.grad is None for parameter in model.lstm.parameters())
    assert all(torch.equal(before[key], value) for key, value in model.lstm.state_dict().items())
    assert torch.equal(inputs, model.inputs)
    assert not inputs.requires_grad
    assert torch.equal(state, torch.get_rng_state())
    assert not model.lstm._forward_hooks


@pytest.mark.parametrize("rival", RIVALS)
def test_dropout_plays_no_part(rival: str) -> None:
    model = make_model(num_layers=2, dropout=0.5)
    method = RIVALS[rival](model.lstm.train(), model.readout)
    once, again = (method.attribute(model.inputs, 0, lengths=model.lengths) for _ in range(2))
    torch.testing.assert_close(once, again, rtol=0.0, atol=0.0)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"target": 2}, ValueError, "outputs 0 to 1, .*got 2"),
        ({"target": None}, ValueError, "outputs 0 to 1, .*got None"),
        ({"lengths": torch.tensor([5, 0, 3, 5])}, ValueError, "between 1 and"),
        ({"inputs": torch.zeros(4, 5, 7, dtype=torch.float64)}, ValueError, "F = 2"),
        ({"inputs": torch.full((4, 5, 2), torch.nan, dtype=torch.float64)}, ValueError, "NaN"),
        ({"inputs": torch.zeros(4, 5, 2, dtype=torch.long)}, TypeError, "int64"),
    ],
)
def test_bad_input_is_refused_by_name(name: str, change: dict, error: type[Exception], message: str) -> None:
    model = make_model()
    method = METHODS[name](model.lstm, model.readout)
    arguments = {"inputs": model.inputs, "target": 0, "lengths": model.lengths} | change
    with pytest.raises(error, match=message):
        method.attribute(arguments.pop("inputs"), **arguments)


@pytest.mark.parametrize("rival", RIVALS)
def test_other_recurrent_nets_are_refused(rival: str) -> None:
    with pytest.raises(TypeError, match="got GRU"):
        RIVALS[rival](nn.GRU(2, 3), nn.Linear(3, 1))
