"""What no whole model is explained for is refused in one sentence."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from rudder_lrp.lrp import LRP
from tests.lrp.grammar import GRAMMAR, Function, balanced, grammar_model, inputs
from tests.lrp.whole_models import Classifier


class TestRefusals:
    """One sentence each, which names what was found."""

    @pytest.mark.parametrize(
        ("forward", "message"),
        [
            (lambda m, x: m.head(torch.fft.rfft(x, dim=1).real.mean(1)), r"fft_rfft in Function \(grammar\.py, line"),
            (lambda m, x: m.head(x.cumprod(1).mean(1)), "pass cumprod in Function"),
            (lambda m, x: nn.functional.log_softmax(m.head(x.mean(1)), 1), "explain the logits"),
            (lambda m, x: m.head(nn.functional.dropout(x, 0.5).mean(1)), "drops units at random"),
            (lambda m, x: m.head(changed_view(m.mix(x))), "views of, .*write it out of place"),
        ],
    )
    def test_what_no_rule_covers_is_named(self, forward, message) -> None:
        with pytest.raises(NotImplementedError, match=message) as refusal:
            LRP(grammar_model(forward)).attribute(inputs(2, 4, 3), 0)
        assert "\n" not in str(refusal.value)

    def test_what_only_feeds_a_gate_needs_no_rule(self) -> None:
        balanced(grammar_model(lambda m, x: m.head((torch.sigmoid(x.cumprod(1)) * x).mean(1))), inputs(2, 4, 3), 0)

    @pytest.mark.parametrize(
        ("forward", "error", "message"),
        [
            (lambda m, x: (m.head(x.mean(1)), x), TypeError, "must return one tensor, got tuple"),
            (lambda m, x: m.head(x.mean(1)).argmax(1), ValueError, r"must return \[B, C\], got torch.int64"),
            (lambda m, x: torch.ones(2, 2).double(), ValueError, "does not depend on the inputs"),
            (lambda m, x: m.head(x.mean(1)) * torch.inf, ValueError, "outputs hold NaN or infinite"),
        ],
    )
    def test_outputs_that_cannot_be_explained(self, forward, error, message) -> None:
        with pytest.raises(error, match=message):
            LRP(grammar_model(forward)).attribute(inputs(2, 4, 3), 0)

    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            ({"inputs": inputs(2, 4, 3).float()}, TypeError, "float32, the model is torch.float64"),
            ({"inputs": inputs(0, 4, 3)}, ValueError, r"must not be empty, got shape \[0, 4, 3\]"),
            ({"inputs": inputs(2, 0, 3)}, ValueError, "pass at least one step"),
            ({"inputs": inputs(2, 4, 3) * torch.nan}, ValueError, "inputs hold NaN"),
            ({"inputs": [[1.0]]}, TypeError, "got list"),
            ({"inputs": inputs(2, 4, 3).to_sparse()}, TypeError, "inputs are sparse; pad them"),
            (
                {"inputs": torch.nested.nested_tensor([inputs(2, 3), inputs(4, 3)], layout=torch.jagged)},
                TypeError,
                "inputs are nested",
            ),
            ({"inputs": inputs(2, 4, 3).to("meta")}, ValueError, "inputs are on meta, the model is on cpu"),
            ({"target": "1"}, TypeError, "got '1'; pass whole numbers"),
            ({"target": 2}, ValueError, "outputs 0 to 1"),
            ({"target": torch.tensor([0, 1, 0])}, ValueError, r"shape \[3\]"),
            ({"target": None}, ValueError, "choose the output"),
            ({"lengths": torch.tensor([1, 1])}, TypeError, "lengths has no meaning for a whole model"),
            ({"step": 1}, TypeError, "step has no meaning"),
            ({"hx": 1}, TypeError, "unexpected keyword argument 'hx'"),
            ({"per_feature": True}, ValueError, "per_feature needs inputs that embeddings"),
        ],
    )
    def test_bad_arguments(self, arguments, error, message) -> None:
        given = {"inputs": inputs(2, 4, 3), "target": 0} | arguments
        with pytest.raises(error, match=message) as refusal:
            LRP(grammar_model(GRAMMAR["residual"])).attribute(**given)
        assert "\n" not in str(refusal.value)

    def test_tokens_out_of_range(self) -> None:
        model = Classifier("lstm", "mean", False, False)
        with pytest.raises(ValueError, match="tokens must lie between 0 and 11, got 1 to 12"):
            LRP(model).attribute(torch.tensor([[1, 12]]), 0)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bool, torch.uint8])
    def test_tokens_that_are_no_whole_numbers(self, dtype) -> None:
        model = Classifier("lstm", "mean", False, False).float()
        with pytest.raises(TypeError, match=rf"tokens must be .*got {dtype}; convert them"):
            LRP(model).attribute(torch.ones(1, 2).to(dtype), 0)

    @pytest.mark.parametrize(
        ("build", "error", "message"),
        [
            (lambda: LRP(nn.Linear(2, 2).half()), TypeError, "float16, supported are float32 and float64"),
            (lambda: LRP(torch.jit.script(nn.Linear(2, 2))), TypeError, "cannot look into TorchScript"),
            (lambda: LRP(nn.Linear(2, 2), nn.Linear(2, 1)), TypeError, "a readout goes with torch.nn.LSTM"),
            (lambda: LRP(nn.Linear(2, 2), conserve=True), TypeError, "conserve has no meaning for a whole model"),
            (lambda: LRP(nn.Linear(2, 2), reads="cell"), TypeError, "reads has no meaning"),
            (lambda: LRP(nn.Linear(2, 2), linear="gamma"), TypeError, "linear has no meaning"),
            (
                lambda: LRP(nn.LSTM(2, 2), rules={}),
                TypeError,
                "rules has no meaning for a recurrent layer and its readout",
            ),
            (lambda: LRP("model"), TypeError, "explains a torch.nn.Module, got str"),
        ],
    )
    def test_models(self, build, error, message) -> None:
        with pytest.raises(error, match=message):
            build()

    def test_projections(self) -> None:
        model = Function(lambda m, x: m.core(x)[0].mean(1), core=nn.LSTM(3, 4, proj_size=2, batch_first=True))
        with pytest.raises(NotImplementedError, match=r"lstm in core .*proj_size"):
            LRP(model).attribute(inputs(2, 4, 3), 0)

    def test_a_batch_whose_examples_are_mixed_has_no_ledger(self) -> None:
        model = grammar_model(lambda m, x: m.head(x.mean(1) + x.mean((0, 1))))
        LRP(model).attribute(inputs(3, 4, 3), 0)
        with pytest.raises(NotImplementedError, match="mixes the examples of a batch"):
            LRP(model).attribute(inputs(3, 4, 3), 0, return_ledger=True)


def changed_view(mixed: Tensor) -> Tensor:
    first = mixed[:, 0]
    mixed.mul_(2.0)
    return first
