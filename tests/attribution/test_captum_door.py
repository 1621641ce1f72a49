"""Captum's methods on whole models: Captum's own numbers, through the call that LRP has; and LRP as Captum takes it."""

from __future__ import annotations

import copy

import captum.attr
import pytest
import torch
from captum.metrics import infidelity, sensitivity_max
from torch import Tensor, nn

from rudder_lrp.attribution import CaptumAttribution, as_captum
from rudder_lrp.lrp import LRP


class Model(nn.Module):
    """A GRU over vectors, or over the embedding of tokens."""

    def __init__(self, words: int = 0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(words, 3) if words else nn.Identity()
        self.core, self.head = nn.GRU(3, 4, batch_first=True, dropout=0.0), nn.Linear(4, 2)
        self.dropout = nn.Dropout(0.5)
        self.double()

    def forward(self, x: Tensor, scale: float = 1.0) -> Tensor:
        return self.head(self.dropout(self.core(self.embedding(x))[0]).mean(1)) * scale


X = torch.randn(2, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
TOKENS = torch.tensor([[1, 2, 3, 4], [4, 3, 0, 0]])
METHODS = {
    "IntegratedGradients": {"n_steps": 20},
    "InputXGradient": {},
    "Saliency": {},
    "DeepLift": {},
    "GradientShap": {},
    "FeatureAblation": {},
    "Occlusion": {},
    "ShapleyValueSampling": {"n_samples": 2},
    "KernelShap": {"n_samples": 20},
    "Lime": {"n_samples": 20},
}


@pytest.mark.parametrize("name", list(METHODS))
@pytest.mark.filterwarnings("ignore")
def test_every_method_explains_vectors_and_tokens_and_leaves_the_model_alone(name) -> None:
    for model, inputs in ((Model().train(), X), (Model(words=5).train(), TOKENS)):
        before = copy.deepcopy(model.state_dict())
        found = CaptumAttribution(model, name, **METHODS[name]).attribute(inputs, 1)
        assert found.shape == inputs.shape
        assert found.any()
        assert model.training
        assert model.dropout.training
        assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
        assert all(parameter.grad is None for parameter in model.parameters())
        assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())


def test_the_numbers_are_captums() -> None:
    model = Model().eval()
    expected = captum.attr.IntegratedGradients(model).attribute(X, target=1, n_steps=20)
    torch.testing.assert_close(CaptumAttribution(model, n_steps=20).attribute(X, 1), expected, rtol=0, atol=0)
    twice = CaptumAttribution(model, n_steps=20).attribute(X, 1, additional_forward_args=2.0)
    torch.testing.assert_close(twice, 2 * expected)


def test_integrated_gradients_of_tokens_sum_to_what_their_embeddings_add() -> None:
    model = Model(words=5).eval()
    found = CaptumAttribution(model, n_steps=200).attribute(TOKENS, 0)
    silent = copy.deepcopy(model)
    silent.embedding.weight.data.zero_()
    torch.testing.assert_close(found.sum(1), (model(TOKENS) - silent(TOKENS))[:, 0].detach(), rtol=0, atol=1e-4)
    features = CaptumAttribution(model, n_steps=200).attribute(TOKENS, 0, per_feature=True)
    torch.testing.assert_close(features.sum(2), found, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["FeatureAblation", "Occlusion"])
def test_a_step_that_is_switched_off_counts_once(name) -> None:
    model = Model().eval()
    found = CaptumAttribution(model, name).attribute(X, 0).sum(2)
    for step in range(X.shape[1]):
        without = X.clone()
        without[:, step] = 0.0
        torch.testing.assert_close(found[:, step], (model(X) - model(without))[:, 0].detach(), rtol=0, atol=1e-6)


def test_what_it_cannot_do_is_refused() -> None:
    with pytest.raises(ValueError, match="no method 'Magic'"):
        CaptumAttribution(Model(), "Magic")
    with pytest.raises(ValueError, match="looked up by one embedding as they are, got 0"):
        CaptumAttribution(nn.Sequential(nn.Flatten())).attribute(TOKENS, 0)
    for several in ((X, X), torch.nn.utils.rnn.pack_sequence([X[0]])):
        with pytest.raises(TypeError, match=r"explain one tensor here, got .*additional_forward_args"):
            CaptumAttribution(Model()).attribute(several, 0)
    with pytest.raises(TypeError, match=r"float32, the model is torch\.float64"):
        CaptumAttribution(Model()).attribute(X.float(), 0)


def test_lrp_serves_where_captum_takes_an_attribution() -> None:
    model = Model().eval()
    lrp = LRP(model)
    adapted = as_captum(lrp)
    found, delta = adapted.attribute(X, 1, return_convergence_delta=True)
    torch.testing.assert_close(found, lrp.attribute(X, 1), rtol=0, atol=1e-12)
    torch.testing.assert_close(found.sum((1, 2)) + delta, model(X)[:, 1].detach(), rtol=0, atol=1e-9)
    assert adapted.has_convergence_delta()
    still = captum.attr.NoiseTunnel(adapted).attribute(X, nt_samples=2, stdevs=0.0, target=1)
    torch.testing.assert_close(still, found, rtol=0, atol=1e-12)
    for explain in (lrp.attribute, CaptumAttribution(model, "InputXGradient").attribute):
        assert (sensitivity_max(explain, X, target=1) > 0).all()
    moved = infidelity(model, lambda x: (0.01 * torch.ones_like(x), x - 0.01), X, found, target=1)
    assert moved.shape == (2,)
