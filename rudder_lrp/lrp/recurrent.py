"""An LSTM or a GRU with the layers before it and the readout after it, explained through the fast passes."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from rudder_lrp.lrp import checks
from rudder_lrp.lrp.dense import Dense, DensePassed, layers_of
from rudder_lrp.lrp.direction import Account
from rudder_lrp.lrp.ledger import Ledger
from rudder_lrp.lrp.plain_modules import check_beside, check_plain, make_weights
from rudder_lrp.lrp.rules import Rules, epsilon
from rudder_lrp.lrp.sequences import Arrivals, pack_like, unpack, without_padding
from rudder_lrp.lrp.stack import Stack, StackPassed, weights_of
from rudder_lrp.lstm import State

Reads = Literal["hidden", "cell"]
Target = int | Tensor | None
InitialState = State | Tensor | None
"""h_0 and c_0 of an LSTM, h_0 of a GRU, `[layers * directions, B, H]` each."""
Batch = TypeVar("Batch", Tensor, PackedSequence)


class Explanation(NamedTuple):
    """Relevance of one output for everything that fed it."""

    inputs: Tensor
    """Of each feature at each step, `[B, T, F]`."""
    steps: Tensor
    """Of each step, `[B, T]`: its features, and what biases and stabilizers of the maps into the cells and of the
    encoder absorbed at it."""
    ledger: Ledger
    """Where the relevance went."""


class Asked(NamedTuple):
    """What is to be explained, as the caller said it."""

    target: Target
    state: InitialState
    step: int | Tensor | None
    relevance: Tensor | PackedSequence | None


class RecurrentLRP:
    """What `LRP` does for an `nn.LSTM` or `nn.GRU` and a readout; see there for the arguments.

    Raises:
        TypeError: if the modules are not of these types.
        ValueError: if they do not fit together or use what is not supported.
    """

    def __init__(
        self,
        module: nn.LSTM | nn.GRU,
        readout: nn.Module | None,
        rules: Rules,
        *,
        encoder: nn.Module | None = None,
        reads: Reads = "hidden",
    ) -> None:
        checks.check_recurrent(module, rules, reads)
        self.module = module
        self.rules = rules
        self.reads = reads
        self._readout = None if readout is None else layers_of(readout)
        self._encoder = [] if encoder is None else layers_of(encoder)
        self._check_widths()

    def attribute(
        self, inputs: Batch, lengths: Tensor | None, asked: Asked, *, account: bool
    ) -> tuple[Batch, Ledger | None]:
        """Relevance shaped like the inputs and, on demand, the ledger; see `LRP.attribute`.

        Raises:
            ValueError: if an argument does not fit the model or the inputs.
        """
        if isinstance(inputs, PackedSequence):
            if lengths is not None:
                raise ValueError("a PackedSequence brings its lengths, got lengths as well; leave them out")
            padded, lengths = unpack(inputs)
            checks.check_inputs(padded, self._weight, self._features, "[B, T, F]")
            found, ledger, _ = self._explain(padded.transpose(0, 1), lengths, account, asked)
            return pack_like(inputs, found.transpose(0, 1)), ledger
        layout = "[B, T, F]" if self.module.batch_first else "[T, B, F]"
        checks.check_inputs(inputs, self._weight, self._features, layout)
        found, ledger, _ = self._explain(self._swap(inputs), lengths, account, asked)
        return self._swap(found), ledger

    def explain(self, inputs: Tensor, lengths: Tensor | None, asked: Asked) -> Explanation:
        """Relevance of features and steps for one output, of inputs `[B, T, F]` in any case."""
        checks.check_inputs(inputs, self._weight, self._features, "[B, T, F]")
        found, ledger, absorbed = self._explain(inputs.transpose(0, 1), lengths, True, asked)
        assert ledger is not None
        assert absorbed is not None
        return Explanation(found.transpose(0, 1), (found.sum(2) + absorbed).T, ledger)

    @torch.no_grad()
    def _explain(
        self, inputs: Tensor, lengths: Tensor | None, account: bool, asked: Asked
    ) -> tuple[Tensor, Ledger | None, Tensor | None]:
        """Relevance `[T, B, F]` of inputs `[T, B, F]`; on demand the ledger and what each step absorbed, `[T, B]`."""
        self._check_modules()
        lengths = checks.check_lengths(inputs, lengths)
        inputs = without_padding(inputs, lengths)
        state = checks.check_state(self.module, asked.state, inputs)
        checks.check_finite("inputs", inputs)
        encoded = Dense(self._encoder, inputs)
        stack = Stack(weights_of(self.module), encoded.outputs, lengths, state)
        if self.rules.linear is not epsilon:
            stack.check_non_negative()
        arrivals, read = self._read(stack, asked)
        through = stack.propagate(stack.at_top(arrivals), self.rules, account)
        passed = encoded.propagate(through.inputs, self.rules)
        if through.account is None:
            return passed.inputs, None, None
        absorbed = through.account.steps + passed.bias + passed.stabilizer
        return passed.inputs, _ledger(passed, through, through.account, read), absorbed

    def _read(self, stack: Stack, asked: Asked) -> tuple[list[Arrivals], DensePassed]:
        """Relevance of the topmost states, from the readout or as injected."""
        if asked.relevance is not None:
            if asked.target is not None or asked.step is not None:
                raise ValueError("relevance was passed along with a target or a step; pass one or the other")
            return self._injected(stack, asked.relevance)
        if self._readout is None:
            raise ValueError("there is no readout to explain an output of; pass one to LRP, or relevance to attribute")
        step = checks.check_step(asked.step, stack.lengths)
        readout = Dense(self._readout, stack.states(step, self._at_cell))
        checks.check_finite("outputs", readout.outputs)
        outputs = readout.outputs.shape[1]
        chosen = checks.check_target(asked.target, outputs, len(stack.lengths), stack.lengths.device)
        selected = nn.functional.one_hot(chosen, outputs).to(readout.outputs.dtype)
        read = readout.explain(selected, self.rules, stack.has_closed_form(self.rules))
        return stack.arrivals_at(step, read, self._at_cell), read

    def _injected(self, stack: Stack, relevance: Tensor | PackedSequence) -> tuple[list[Arrivals], DensePassed]:
        if isinstance(relevance, PackedSequence):
            relevance = unpack(relevance)[0].transpose(0, 1)
        else:
            relevance = self._swap(relevance)
        checks.check_relevance(relevance, stack.outputs())
        checks.check_finite("outputs", stack.outputs())
        relevance = without_padding(relevance, stack.lengths)
        none = relevance.new_zeros(len(stack.lengths))
        return stack.arrivals(relevance, self._at_cell), DensePassed(relevance, none, none)

    def _swap(self, values: Tensor) -> Tensor:
        """Between the layout of the model and `[T, B, ...]`."""
        return values.transpose(0, 1) if self.module.batch_first else values

    @property
    def _at_cell(self) -> bool:
        return self.reads == "cell"

    @property
    def _weight(self) -> Tensor:
        return cast(Tensor, self.module.weight_ih_l0)

    @property
    def _features(self) -> int:
        widths = [layer.in_features for layer in self._encoder if isinstance(layer, nn.Linear)]
        return widths[0] if widths else self.module.input_size

    def _check_modules(self) -> None:
        linear = [layer for layer in (*self._encoder, *(self._readout or ())) if isinstance(layer, nn.Linear)]
        for module in (self.module, *linear):
            check_plain(module)
            make_weights(module)
        for layer in linear:
            check_beside(layer, self._weight)

    def _check_widths(self) -> None:
        states = self.module.hidden_size * (2 if self.module.bidirectional else 1)
        for layer in self._readout or []:
            if isinstance(layer, nn.Linear):
                checks.check_width("readout takes", layer.in_features, f"{type(self.module).__name__} returns", states)
                break
        for layer in reversed(self._encoder):
            if isinstance(layer, nn.Linear):
                checks.check_width(
                    "encoder returns", layer.out_features, f"{type(self.module).__name__} takes", self.module.input_size
                )
                break


def _ledger(passed: DensePassed, through: StackPassed, account: Account, read: DensePassed) -> Ledger:
    h_0, c_0 = (part.sum((0, 2)) for part in through.initial)
    return Ledger(
        inputs=passed.inputs.sum((0, 2)),
        cell_input_bias=account.cell_input_bias,
        gate_bias=account.gate_bias,
        readout_bias=read.bias,
        encoder_bias=passed.bias.sum(0),
        stabilizer=account.stabilizer + read.stabilizer + passed.stabilizer.sum(0),
        initial_hidden=h_0,
        initial_cell=c_0,
        through_gates=account.through_gates,
    )
