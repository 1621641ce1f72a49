"""Calls of the fused recurrent kernels, `torch.lstm`, `torch.gru` and their cells, explained by the fast passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rudder_lrp.lrp.gru import GRUWeights
from rudder_lrp.lrp.places import Place
from rudder_lrp.lrp.recorder import Call
from rudder_lrp.lrp.rules import Rules, epsilon
from rudder_lrp.lrp.sequences import Arrivals
from rudder_lrp.lrp.stack import Entering, Stack, Weights
from rudder_lrp.lrp.tape import Absorbed, Owner, Passed, Value
from rudder_lrp.lstm import LayerWeights


class Layout:
    """How sequences lie in the tensors of a call.

    Args:
        batch_first: whether a padded batch is `[B, T, F]`.
        batch_sizes: of a packed batch, sequences at each step, `[T]`.
    """

    def __init__(self, batch_first: bool, batch_sizes: Tensor | None = None) -> None:
        self.batch_first = batch_first
        self.sizes = batch_sizes

    def steps_first(self, values: Tensor) -> Tensor:
        """To `[T, B, F]`, padded with zeros."""
        if self.sizes is None:
            return values.transpose(0, 1) if self.batch_first else values
        padded = values.new_zeros(self._valid.numel(), values.shape[1])
        padded.index_copy_(0, self._rows.to(values.device), values)
        return padded.view(*self._valid.shape, -1)

    def as_given(self, values: Tensor) -> Tensor:
        """Back from `[T, B, F]`."""
        if self.sizes is None:
            return values.transpose(0, 1) if self.batch_first else values
        return values.flatten(0, 1).index_select(0, self._rows.to(values.device))

    def lengths(self, values: Tensor) -> Tensor:
        """Valid steps of each sequence of `[T, B, F]`."""
        if self.sizes is None:
            return torch.full((values.shape[1],), len(values), device=values.device)
        return self._valid.sum(0).to(values.device)

    @cached_property
    def _valid(self) -> Tensor:
        """Of a packed batch, which steps of which sequence there are, `[T, B]`."""
        assert self.sizes is not None
        return torch.arange(int(self.sizes[0])) < self.sizes[:, None]

    @cached_property
    def _rows(self) -> Tensor:
        """Where the steps of a packed batch lie in a padded one, `[T * B]`."""
        return self._valid.flatten().nonzero()[:, 0]


class Run(NamedTuple):
    """A call and its parts."""

    call: Call
    place: Place
    stack: Stack
    layout: Layout
    inputs: Value
    state: list[Value | None]
    """Initial states that depend on the model's inputs."""

    @property
    def operands(self) -> list[Value]:
        """Inputs and initial states, those that depend on the model's inputs."""
        return [self.inputs, *(value for value in self.state if value is not None)]

    def back(self, outputs: Tensor | None, finals: Sequence[Tensor | None], account: bool) -> Passed:
        """Carry relevance of what was returned back to inputs and initial states."""
        composite = self.call.recorder.composite
        rules = Rules(composite.gate_rule(self.place.name, self.place.kind), epsilon, composite.eps, conserve=False)
        passed = self.stack.propagate(self._entering(outputs, finals), rules, account)
        parts: list[Tensor | None] = [self.layout.as_given(passed.inputs)]
        kept: list[Absorbed] = []
        for value, relevance in zip(self.state, passed.initial, strict=False):
            if value is not None:
                parts.append(relevance.view(value.value.shape))
            elif account:
                kept.append(Absorbed("initial_states", relevance.sum((0, 2)), per_sequence=True))
        if passed.account is not None:
            biases = passed.account.cell_input_bias + passed.account.gate_bias
            kept.append(Absorbed("biases", biases, per_sequence=True))
            kept.append(Absorbed("stabilizers", passed.account.stabilizer, per_sequence=True))
        return Passed(parts, kept)

    def _entering(self, outputs: Tensor | None, finals: Sequence[Tensor | None]) -> Entering:
        entering: Entering = [[[] for _ in directions] for directions in self.stack.layers]
        if outputs is not None:
            dense = self.layout.steps_first(outputs)
            entering[-1] = [[Arrivals(part)] for part in self.stack.turned(dense)]
        last = self.stack.lengths - 1
        directions = len(self.stack.layers[0])
        for cell, final in enumerate(finals):
            for at, part in enumerate([] if final is None else final.unbind(0)):
                if part.any():
                    layer, direction = divmod(at, directions)
                    entering[layer][direction].append(Arrivals(part, last, at_cell=bool(cell)))
        return entering


def layers(call: Call) -> tuple[Tensor, ...]:
    """`torch.lstm` and `torch.gru`, padded or packed: outputs and final states."""
    packed = isinstance(call.args[3], list | tuple)
    inputs, *rest = call.args
    sizes = rest.pop(0) if packed else None
    hx, flat, biased, count, _, _, both = rest[:7]
    layout = Layout(False if packed else rest[7], sizes)
    state = (hx,) if isinstance(hx, Tensor) else tuple(hx)
    weights = _weights(call, flat, biased, count * (2 if both else 1), 2 if both else 1)
    run = _run(call, inputs, state, weights, layout, flat[0])
    finals = run.stack.final_states()[: len(state)]
    outputs = [Value(layout.as_given(run.stack.outputs()).contiguous()), *(Value(part) for part in finals)]
    operands = run.operands

    def back(arriving: list[Tensor | None], account: bool) -> Passed:
        return run.back(arriving[0], arriving[1:], account)

    def owners(arriving: list[Owner | None]) -> list[Owner | None]:
        at_outputs = 1 if layout.sizes is None and not layout.batch_first else 0
        return _owners(arriving, at_outputs, len(operands), run.layout)

    return tuple(call.emit(outputs, operands, back, owners, run.place))


def cell(call: Call) -> Any:
    """`nn.LSTMCell` and `nn.GRUCell`: one step of a layer."""
    inputs, hx, *flat = call.args
    state = (hx,) if isinstance(hx, Tensor) else tuple(hx)
    flat = [part for part in flat if part is not None]
    weights = _weights(call, flat, len(flat) == 4, 1, 1)
    run = _run(call, inputs, state, weights, Layout(False), flat[0])
    outputs = [Value(part[0]) for part in run.stack.final_states()[: len(state)]]
    operands = run.operands

    def back(arriving: list[Tensor | None], account: bool) -> Passed:
        finals = [None if part is None else part[None] for part in arriving]
        passed = run.back(None, finals, account)
        return passed._replace(operands=[passed.operands[0][0], *passed.operands[1:]])  # type: ignore[index]

    shown = call.emit(outputs, operands, back, place=run.place)
    return shown[0] if isinstance(hx, Tensor) else tuple(shown)


def _run(
    call: Call, inputs: Tensor, state: tuple[Tensor, ...], weights: list[list[Weights]], layout: Layout, weight: Tensor
) -> Run:
    padded = layout.steps_first(inputs if inputs.ndim == 3 or layout.sizes is not None else inputs[None])
    h_0, c_0 = (part if part.ndim == 3 else part[None] for part in (state[0], state[-1]))
    stack = Stack(weights, padded.detach(), layout.lengths(padded), (h_0.detach(), c_0.detach()))
    source = call.value(inputs) or call.constant(inputs)
    return Run(call, call.place(weight), stack, layout, source, [call.value(part) for part in state])


def _weights(call: Call, flat: list[Tensor], biased: bool, runs: int, directions: int) -> list[list[Weights]]:
    """Those of each layer and direction, from the list that the kernel takes."""
    each = len(flat) // runs
    if each > (4 if biased else 2):
        raise call.refuse("projects its hidden state (proj_size), which no rule covers; train one with proj_size=0")
    if any(call.value(part) for part in flat):
        raise call.refuse("has weights that depend on the inputs, which no rule covers; use weights of its own")
    parts: list[list[Tensor]] = [[part.detach() for part in flat[at : at + each]] for at in range(0, len(flat), each)]
    make: Callable[..., Weights] = GRUWeights.of if call.name.startswith("gru") else _lstm_weights
    made = [make(*part) for part in parts]
    return [list(made[at : at + directions]) for at in range(0, runs, directions)]


def _lstm_weights(W: Tensor, U: Tensor, b: Tensor | None = None, b_recurrent: Tensor | None = None) -> LayerWeights:
    if b is None or b_recurrent is None:
        return LayerWeights(W, U, W.new_zeros(len(W)))
    return LayerWeights(W, U, b + b_recurrent)


def _owners(arriving: list[Owner | None], at_outputs: int, operands: int, layout: Layout) -> list[Owner | None]:
    """Inputs lie as outputs do; initial states are `[layers * directions, B, H]`, as final ones."""
    examples = next(part.examples for part in arriving if part is not None)
    states: list[Owner | None] = [Owner(1, examples)] * (operands - 1)
    if layout.sizes is None:
        return [Owner(at_outputs, examples), *states]
    # The first step of a packed batch has a row for each sequence, as final states have.
    states = [Owner(1, examples[: int(layout.sizes[0])])] * (operands - 1)
    return [Owner(0, torch.cat([examples[: int(size)] for size in layout.sizes])), *states]
