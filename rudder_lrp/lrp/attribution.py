"""The front door: explain an LSTM that somebody else trained."""

from __future__ import annotations

from typing import Literal, NamedTuple, overload

import torch
from torch import Tensor, nn

from rudder_lrp.lrp.checks import check_inputs, check_lengths, check_modules, check_target
from rudder_lrp.lrp.closed_form import cell_readout_relevance, hidden_readout_relevance, last_valid
from rudder_lrp.lrp.ledger import Ledger
from rudder_lrp.lrp.propagation import CellInput, propagate
from rudder_lrp.lrp.rules import sign, stabilize
from rudder_lrp.lstm import Structure, Trace, structure_of, trace

Reads = Literal["hidden", "cell"]


class Explanation(NamedTuple):
    """Relevance of one output for everything that fed it."""

    inputs: Tensor
    """Of each feature at each step, `[B, T, F]`."""
    steps: Tensor
    """Of each step, `[B, T]`: its features, the biases that acted at it, and their stabilizer."""
    ledger: Ledger
    """Where the relevance went."""


class LRP:
    """Layer-wise relevance propagation (LRP-all) through a one-layer `nn.LSTM` with a linear readout.

    The model is not modified and needs no gradients. Where the weights have no recurrent connection into the cell
    input (Markov, accumulator), the cell's share is computed in closed form, without stabilizer and without leak.

    Args:
        lstm: one layer, one direction, no projection; with or without bias, `batch_first` or not.
        readout: linear layer on the state after the last valid step.
        eps: stabilizer of the denominators.
        reads: whether the readout reads the hidden or the cell state.

    Raises:
        TypeError: if the modules are not of these types.
        ValueError: if they do not fit together or use what is not supported.
    """

    def __init__(self, lstm: nn.LSTM, readout: nn.Linear, *, eps: float = 1e-3, reads: Reads = "hidden") -> None:
        check_modules(lstm, readout)
        if eps < 0 or reads not in ("hidden", "cell"):
            raise ValueError(f"eps must be >= 0 and reads 'hidden' or 'cell', got {eps} and {reads!r}")
        self.lstm = lstm
        self.readout = readout
        self.eps = eps
        self.reads = reads

    @overload
    def attribute(self, inputs: Tensor, target: int | None = None, *, lengths: Tensor | None = None) -> Tensor: ...

    @overload
    def attribute(
        self, inputs: Tensor, target: int | None = None, *, lengths: Tensor | None = None, return_ledger: Literal[True]
    ) -> tuple[Tensor, Ledger]: ...

    def attribute(
        self,
        inputs: Tensor,
        target: int | None = None,
        *,
        lengths: Tensor | None = None,
        return_ledger: bool = False,
    ) -> Tensor | tuple[Tensor, Ledger]:
        """Relevance of the inputs for one output, shaped like the inputs.

        Args:
            inputs: `[B, T, F]`, or `[T, B, F]` for an LSTM that is not `batch_first`.
            target: index of the output; may be left out if there is only one.
            lengths: valid steps of each sequence, `[B]`; all of them by default. Padding gets exactly zero.
            return_ledger: whether to return the `Ledger` too.

        Raises:
            TypeError, ValueError: if an argument does not fit the model, naming what was found and what is supported.
        """
        check_inputs(self.lstm, inputs)
        batch = inputs if self.lstm.batch_first else inputs.transpose(0, 1)
        explanation = self.explain(batch, target, lengths)
        relevance = explanation.inputs if self.lstm.batch_first else explanation.inputs.transpose(0, 1)
        return (relevance, explanation.ledger) if return_ledger else relevance

    @torch.no_grad()
    def explain(self, inputs: Tensor, target: int | None = None, lengths: Tensor | None = None) -> Explanation:
        """Relevance of features and steps for one output, of inputs `[B, T, F]`; see `attribute`."""
        target = check_target(self.readout, target)
        lengths = check_lengths(inputs, lengths)
        weight = self.readout.weight[target]
        trace_ = trace(self.lstm, inputs)
        state = last_valid((trace_.h if self.reads == "hidden" else trace_.c)[:, 1:], lengths)
        bias = self.readout.bias[target] if self.readout.bias is not None else weight.new_zeros(())
        cell_input = CellInput.of(self.lstm)
        z = cell_input.preactivation(inputs, trace_.h[:, :-1])
        written = None
        if structure_of(self.lstm) is Structure.STANDARD:
            y = state @ weight + bias
            scale = y / stabilize(y, self.eps)
            passed = propagate(trace_, z, cell_input, weight * state * scale[:, None], lengths, self.eps)
            shares, stabilizer, initial = passed
            stabilizer = stabilizer + self.eps * sign(y) * scale
            readout_bias = bias * scale
        else:
            written = self._closed_form(trace_, weight, lengths)
            shares = written / stabilize(z, self.eps)
            stabilizer = (self.eps * sign(z) * shares).sum((1, 2))
            initial, readout_bias = torch.zeros_like(stabilizer), bias.expand(len(inputs))
        relevance = inputs * (shares @ cell_input.W)
        of_bias = shares @ cell_input.b
        steps = relevance.sum(2) + of_bias if written is None else written.sum(2)
        ledger = Ledger(relevance.sum((1, 2)), of_bias.sum(1), readout_bias, stabilizer, initial)
        return Explanation(relevance, steps, ledger)

    def _closed_form(self, trace_: Trace, weight: Tensor, lengths: Tensor) -> Tensor:
        relevance = hidden_readout_relevance if self.reads == "hidden" else cell_readout_relevance
        return relevance(trace_, weight, lengths)
