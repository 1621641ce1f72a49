"""Rules of the operations that a model's `forward` is made of, by name.

| operations | rule |
|---|---|
| moving: views, slices, joins, masks, the maximum | relevance goes where the value came from |
| elementwise nonlinearities | unchanged |
| sums, means, products with constant matrices | epsilon |
| products of two tensors that depend on the inputs | the gate rule; half each where neither or both are gates |
| scaling by a constant, division | what is scaled takes all |
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from rudder_lrp.lrp import affine, arithmetic, moving, normalisation, recurrent_call
from rudder_lrp.lrp.recorder import WHOLE, Call, Rule, without_rule
from rudder_lrp.lrp.tape import Passed, Value


def elementwise(call: Call) -> Tensor:
    """A nonlinearity, unit by unit: relevance passes unchanged."""
    x, value = call.first()
    in_place = _in_place(call)
    if in_place:
        call.refuse_views(x)
    outcome: Tensor = call.run({id(x): x.clone()} if in_place else None).detach()
    output = Value(outcome, value.value, gate=call.name in _GATES)
    shown: Tensor = call.emit([output], [value], lambda arriving, _: Passed(arriving, []))[0]
    return call.recorder.become(x, shown) if in_place else shown


_GATES = {"sigmoid", "hardsigmoid", "softmax", "exp"}


def _in_place(call: Call) -> bool:
    if hasattr(call.func, "_schema") or type(call.func).__name__ != "function":
        return bool(call.kwargs.get("inplace", False))
    parameters = inspect.signature(call.func, follow_wrapped=False).parameters
    return "inplace" in parameters and bool(call.arguments().get("inplace", False))


def dropout(call: Call) -> Tensor:
    """What goes in comes out, the same tensor as in PyTorch; refused where it is active."""
    options = call.arguments("input", "p", "training")
    if options.get("training", options.get("train", True)) and options.get("p", 0.5) > 0:
        raise call.refuse("drops units at random while the model is explained; write training=self.training")
    return call.tracked()[0]


def constant(call: Call) -> Any:
    """A new tensor like another one in shape alone."""
    return call.run()


def log_softmax(call: Call) -> Any:
    """Refused: a log probability has no share of the inputs in it."""
    return without_rule(call, "makes log probabilities, whose relevance says little; explain the logits before them")


def embedding(call: Call) -> Tensor:
    """A table of vectors: relevance of a vector is that of the number that chose it.

    Raises:
        TypeError: if tokens are no whole numbers as PyTorch looks them up.
        ValueError: if a token has no vector.
    """
    options = call.arguments()
    indices: Tensor = options["input"] if "input" in options else options["indices"]
    weight: Tensor = options["weight"]
    value = call.value(indices)
    if options.get("max_norm") is not None:
        raise call.refuse("renormalises its weights as it runs; use an embedding without max_norm")
    if value is None:
        raise call.refuse("has weights that depend on the inputs; use an embedding with weights of its own")
    if indices.dtype not in (torch.int64, torch.int32):
        raise TypeError(
            f"tokens must be whole numbers of int64 or int32, got {indices.dtype}; convert them with .long()"
        )
    if indices.min() < 0 or indices.max() >= len(weight):
        found = f"{int(indices.min())} to {int(indices.max())}"
        raise ValueError(
            f"tokens must lie between 0 and {len(weight) - 1}, got {found}; encode unknown ones as one of these"
        )

    def back(arriving: list[Tensor | None], account: bool) -> Passed:
        assert arriving[0] is not None
        call.recorder.embedded.append((value, arriving[0]))
        return Passed([arriving[0].sum(-1)], [])

    return call.emit([Value(call.run().detach())], [value], back, lambda arriving: arriving, call.place(weight))[0]


_MOVING = """
    view _unsafe_view view_as reshape reshape_as flatten unflatten ravel squeeze unsqueeze contiguous clone detach
    alias data real to _to_copy float double long int type type_as transpose swapaxes swapdims permute movedim
    moveaxis t T mT H mH adjoint flip reversed roll getitem select slice narrow index_select gather take_along_dim
    take masked_select diagonal chunk split tensor_split unbind unsafe_chunk unsafe_split split_with_sizes cat
    concat concatenate stack hstack vstack expand expand_as broadcast_to repeat repeat_interleave tile where
    masked_fill pad constant_pad_nd scatter masked_scatter index_copy max amax min amin maximum minimum max_pool1d
    max_pool1d_with_indices adaptive_max_pool1d topk sort cummax _pack_padded_sequence _pad_packed_sequence
"""
_ELEMENTWISE = """
    relu leaky_relu elu celu selu gelu silu mish softplus softsign tanh sigmoid logsigmoid hardtanh hardsigmoid
    hardswish relu6 prelu threshold softmax exp clamp clamp_min clamp_max abs square sqrt pow neg positive
    reciprocal log1p expm1
"""
_FAMILIES: tuple[tuple[Rule, str], ...] = (
    (moving.moving, _MOVING),
    (elementwise, _ELEMENTWISE),
    (dropout, "dropout feature_dropout alpha_dropout feature_alpha_dropout"),
    (log_softmax, "log_softmax"),
    (constant, "zeros_like ones_like full_like empty_like rand_like randn_like new_zeros new_ones new_full new_empty"),
    (arithmetic.adding, "add radd sub rsub subtract"),
    (arithmetic.multiplying, "mul rmul multiply"),
    (arithmetic.dividing, "div rdiv truediv true_divide divide"),
    (arithmetic.summing, "sum mean nansum cumsum matmul rmatmul bmm mm mv dot einsum avg_pool1d adaptive_avg_pool1d"),
    (affine.linear, "linear"),
    (affine.convolution, "conv1d conv2d"),
    (normalisation.layer_norm, "layer_norm"),
    (normalisation.batch_norm, "batch_norm"),
    (embedding, "embedding"),
    (moving.assigning, "setitem copy_"),
    (moving.iterating, "iter"),
    (recurrent_call.layers, "lstm gru"),
    (recurrent_call.cell, "lstm_cell gru_cell"),
)
OPERATIONS: Mapping[str, Rule] = MappingProxyType({name: rule for rule, names in _FAMILIES for name in names.split()})
WHOLE.update(_MOVING.split())
