"""Contextual decomposition of LSTMs (Murdoch, Liu & Yu 2018, "Beyond Word Importance", section 3).

The forward pass is run in two parts that sum to every state: `relevant`, what a phrase contributes by itself and
together with the biases, and `rest`, all that involves inputs outside the phrase. A nonlinearity is made a sum by the
mean of what a part adds over the orders of arrival, the bias always first:

    tanh(a + r + b) = A + R + tanh(b),   A = (tanh(a + b) - tanh(b) + tanh(a + r + b) - tanh(r + b)) / 2

Products of gate and signal are multiplied out; only those terms without the rest stay relevant. As in the authors' code
the output gate is not split, and the product of the biases of input gate and cell input at a step belongs to the
phrase if the step does. The relevance of an input is the relevant part of the output for it as the phrase.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from rudder_lrp.attribution.base import LSTMAttribution, Unit, by_length, spread, unit_mask
from rudder_lrp.attribution.protocol import Target
from rudder_lrp.lstm import LayerWeights, gate_rows


class Parts(NamedTuple):
    """Two summands of a state or an output."""

    relevant: Tensor
    """What the phrase contributes."""
    rest: Tensor
    """All else."""


@dataclass(eq=False)
class ContextualDecomposition(LSTMAttribution):
    """Contextual decomposition: relevance of each input as a phrase of its own.

    Takes stacked and bidirectional LSTMs, but no projection, and a linear readout. Costs a step-by-step forward pass in
    two parts for each unit.

    Args:
        lstm: see `LSTMAttribution`.
        readout: linear layer on the final state.
        unit: what makes a phrase, `"feature"` or `"step"`.
        rows: phrases in one pass, at most (but never below the batch); bounds the memory.
        reads: see `LSTMAttribution`.

    Raises:
        TypeError: if the readout is not linear.
        ValueError: if the LSTM has a projection.
    """

    readout: nn.Linear
    _: KW_ONLY
    unit: Unit | str = Unit.FEATURE
    rows: int = 1024

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.readout, nn.Linear):
            raise TypeError(
                f"contextual decomposition reads out through torch.nn.Linear, got {type(self.readout).__name__}; "
                "use another attribution"
            )
        if self.lstm.proj_size:
            raise ValueError(
                f"contextual decomposition takes LSTMs without projection, got proj_size={self.lstm.proj_size}; "
                "use another attribution"
            )
        self.unit = Unit(self.unit)

    @torch.no_grad()
    def of_phrase(
        self, inputs: Tensor, phrase: Tensor, target: Target = None, *, lengths: Tensor | None = None
    ) -> Parts:
        """Split one output into the part of a phrase and the rest, `[B]` each; they sum to the output.

        Args:
            inputs: `[B, T, F]`, or `[T, B, F]` for an LSTM that is not `batch_first`.
            phrase: shaped like the inputs, true where an input belongs to the phrase.
            target: index of the output, one for all or `[B]`; may be left out if there is only one.
            lengths: valid steps of each sequence, `[B]`; all of them by default.

        Raises:
            TypeError, ValueError: if an argument does not fit the model.
        """
        if phrase.shape != inputs.shape:
            raise ValueError(
                f"the phrase must be shaped like the inputs {list(inputs.shape)}, got {list(phrase.shape)}"
            )
        phrase = self._swap(phrase)
        batch, lengths, target = self._checked(self._swap(inputs), lengths, target)
        outputs = batch.new_empty(2, len(batch))
        for length, members in by_length(lengths):
            within = phrase[members, :length].to(batch.dtype)
            outputs[:, members] = torch.stack(self._split(batch[members, :length], within, target[members]))
        return Parts(*outputs)

    @torch.no_grad()
    def _relevance(self, inputs: Tensor, lengths: Tensor, target: Tensor) -> Tensor:
        relevance = torch.zeros_like(inputs)
        for length, members in by_length(lengths):
            relevance[members, :length] = self._of_equal_length(inputs[members, :length], target[members])
        return relevance

    def _of_equal_length(self, inputs: Tensor, target: Tensor) -> Tensor:
        """Relevance of each unit of inputs `[B, T, F]` that all end at T."""
        units = unit_mask(inputs, self.unit)
        relevance = torch.zeros_like(inputs)
        for chunk in torch.arange(int(units.max()) + 1, device=inputs.device).split(max(1, self.rows // len(inputs))):
            phrases = units == chunk[:, None, None]
            shape = (len(inputs), len(chunk), *inputs.shape[1:])
            repeated = inputs[:, None].expand(shape).flatten(0, 1)
            phrase = phrases.to(inputs.dtype).expand(shape).flatten(0, 1)
            of_units = self._split(repeated, phrase, target.repeat_interleave(len(chunk))).relevant.view(shape[:2])
            relevance += torch.einsum("bu,utf->btf", of_units, phrases.to(inputs.dtype))
        return spread(relevance, self.unit)

    def _split(self, inputs: Tensor, phrase: Tensor, target: Tensor) -> Parts:
        """Split the output for inputs `[B, T, F]` that all end at T by a phrase of 0 and 1, both `[B, T, F]`."""
        share = phrase.mean(dim=2)
        steps = Parts(inputs * phrase, inputs * (1.0 - phrase))
        for directions in _layers(self.lstm):
            ran = [_run(weights, steps, share, reverse) for reverse, weights in enumerate(directions)]
            steps = _concatenate([hidden for hidden, _ in ran])
        final = _concatenate([self._final(hidden, cell, reverse) for reverse, (hidden, cell) in enumerate(ran)])
        weight = self.readout.weight[target]
        bias = 0.0 if self.readout.bias is None else self.readout.bias[target]
        return Parts((final.relevant * weight).sum(1), (final.rest * weight).sum(1) + bias)

    def _final(self, hidden: Parts, cell: Parts, reverse: int) -> Parts:
        last = 0 if reverse else -1
        return cell if self.reads == "cell" else Parts(hidden.relevant[:, last], hidden.rest[:, last])


class _Split(NamedTuple):
    """A gate in three summands."""

    relevant: Tensor
    rest: Tensor
    bias: Tensor

    @classmethod
    def of(cls, a: Tensor, r: Tensor, bias: Tensor, function: Callable[[Tensor], Tensor]) -> _Split:
        """Of `function(a + r + bias)`."""
        none, both = function(bias), function(a + r + bias)
        only_a, only_r = function(a + bias), function(r + bias)
        return cls((only_a - none + both - only_r) / 2, (only_r - none + both - only_a) / 2, none)


def _layers(lstm: nn.LSTM) -> Iterator[list[LayerWeights]]:
    """Weights of each layer, one entry a direction."""
    for layer in range(lstm.num_layers):
        yield [LayerWeights.of(lstm, layer, reverse) for reverse in ((False, True) if lstm.bidirectional else (False,))]


def _concatenate(directions: list[Parts]) -> Parts:
    return Parts(*(torch.cat(part, dim=-1) for part in zip(*directions, strict=True)))


def _run(weights: LayerWeights, inputs: Parts, share: Tensor, reverse: int) -> tuple[Parts, Parts]:
    """One direction over inputs `[B, T, F]`: hidden states of all steps `[B, T, H]` and the last cell state `[B, H]`.

    `share` `[B, T]` is how much of each step belongs to the phrase.
    """
    i, f, g, o = gate_rows(weights.U.shape[1])
    z = Parts(inputs.relevant @ weights.W.T, inputs.rest @ weights.W.T)
    zero = z.relevant.new_zeros(len(z.relevant), weights.U.shape[1])
    h, c, bias = Parts(zero, zero), Parts(zero, zero), weights.b
    states = []
    order = range(share.shape[1])
    for t in reversed(order) if reverse else order:
        a, r = z.relevant[:, t] + h.relevant @ weights.U.T, z.rest[:, t] + h.rest @ weights.U.T
        enter, forget = (_Split.of(a[:, gate], r[:, gate], bias[gate], torch.sigmoid) for gate in (i, f))
        signal = _Split.of(a[:, g], r[:, g], bias[g], torch.tanh)
        c = _add(_written(enter, signal, share[:, t, None]), _kept(forget, c))
        h = _output((a[:, o] + r[:, o] + bias[o]).sigmoid(), c)
        states.append(h)
    states = states[::-1] if reverse else states
    return Parts(*(torch.stack(part, dim=1) for part in zip(*states, strict=True))), c


def _written(gate: _Split, signal: _Split, share: Tensor) -> Parts:
    constant = gate.bias * signal.bias
    relevant = gate.relevant * (signal.relevant + signal.bias) + gate.bias * signal.relevant
    whole = signal.relevant + signal.rest + signal.bias
    rest = gate.rest * whole + (gate.relevant + gate.bias) * signal.rest
    return Parts(relevant + share * constant, rest + (1.0 - share) * constant)


def _kept(gate: _Split, c: Parts) -> Parts:
    own = gate.relevant + gate.bias
    return Parts(own * c.relevant, (own + gate.rest) * c.rest + gate.rest * c.relevant)


def _add(one: Parts, other: Parts) -> Parts:
    return Parts(one.relevant + other.relevant, one.rest + other.rest)


def _output(gate: Tensor, c: Parts) -> Parts:
    both, relevant, rest = (c.relevant + c.rest).tanh(), c.relevant.tanh(), c.rest.tanh()
    return Parts(gate * (relevant + both - rest) / 2, gate * (rest + both - relevant) / 2)
