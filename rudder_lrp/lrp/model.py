"""Whole models: run once on a tape, then relevance back from the output to the inputs."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from rudder_lrp.lrp import model_checks
from rudder_lrp.lrp.composite import Composite
from rudder_lrp.lrp.evaluation import untouched
from rudder_lrp.lrp.ledger import ModelLedger
from rudder_lrp.lrp.operations import OPERATIONS
from rudder_lrp.lrp.places import Places
from rudder_lrp.lrp.recorder import Recorder
from rudder_lrp.lrp.tape import Value

ModelTarget = int | Tensor | tuple[int, ...] | None
"""Which output: one index for all, one for each `[B]`, or for outputs `[B, d1, d2...]` a tuple of one for each `d`."""
Inputs = TypeVar("Inputs", Tensor, PackedSequence, tuple[Tensor, ...])


class ModelLRP:
    """What `LRP` does for a whole model; see there.

    Args:
        model: any module; a wrapper of `torch.compile` or of data parallelism is looked through.
        composite: which rule goes where.

    Raises:
        TypeError: for a model in half precision, quantised or in TorchScript.
        ValueError: if the rules do not fit the model.
    """

    def __init__(self, model: nn.Module, composite: Composite) -> None:
        self.model = model_checks.unwrapped(model)
        model_checks.check_precision(self.model)
        composite.check(self.model)
        self.composite = composite

    def attribute(
        self, inputs: Inputs, target: ModelTarget, additional: Any, account: bool, per_feature: bool
    ) -> Inputs | tuple[Inputs, ModelLedger]:
        """Relevance shaped like the inputs, with the ledger on demand; see `LRP.attribute`."""
        parts = model_checks.check_model_inputs(self.model, inputs)
        with untouched(self.model):
            recorder = Recorder(Places(self.model), self.composite, OPERATIONS, account)
            values = [Value(part.detach().clone()) for part in parts]
            output, shown = self._run(recorder, inputs, values, additional)
            relevance = model_checks.selected(shown, target)
            recorder.tape.back(output, relevance, account)
            ledger = recorder.tape.finish(values, len(shown))
        found = _features(recorder, values) if per_feature else [_arrived(value) for value in values]
        outcome = _shaped_like(inputs, found)
        return outcome if ledger is None else (outcome, ledger)

    def _run(self, recorder: Recorder, inputs: Any, values: list[Value], additional: Any) -> tuple[Value, Tensor]:
        """The model's output, as a value and as a tensor."""
        tensors = [recorder.track(value.value.detach(), value) for value in values]
        given = list(tensors)
        if isinstance(inputs, PackedSequence):
            given = [PackedSequence(tensors[0], *inputs[1:])]  # type: ignore[list-item]
        more = additional if isinstance(additional, tuple) else () if additional is None else (additional,)
        with recorder:
            shown = self.model(*given, *more)
        model_checks.check_output(shown)
        value = recorder.value(shown)
        if value is None:
            raise ValueError("the output does not depend on the inputs by any way that LRP can follow; check the model")
        return value, shown


def _arrived(value: Value) -> Tensor:
    if value.relevance is not None:
        return value.relevance.detach().contiguous()
    dtype = value.value.dtype if value.value.is_floating_point() else torch.get_default_dtype()
    return torch.zeros(value.value.shape, dtype=dtype, device=value.value.device)


def _features(recorder: Recorder, values: list[Value]) -> list[Tensor]:
    """Relevance of each feature of the embeddings.

    Raises:
        ValueError: unless each input is looked up as it is, in tables of the same width.
    """
    found: list[Tensor] = []
    for value in values:
        parts = [relevance for tokens, relevance in recorder.embedded if tokens is value]
        whole = sum((part.sum(-1) for part in parts), start=torch.zeros_like(_arrived(value)))
        widths = {part.shape[-1] for part in parts}
        if len(widths) != 1 or not torch.allclose(whole, _arrived(value)):
            raise ValueError(
                "per_feature needs inputs that embeddings of one width look up as they are, got "
                f"{len(parts)} of widths {sorted(widths)}; leave it out"
            )
        found.append(torch.stack(parts).sum(0))
    return found


def _shaped_like(inputs: Any, found: list[Tensor]) -> Any:
    if isinstance(inputs, PackedSequence):
        return PackedSequence(found[0], *inputs[1:])
    return found[0] if isinstance(inputs, Tensor) else tuple(found)
