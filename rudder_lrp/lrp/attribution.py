"""The front door: explain an LSTM that somebody else trained."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypedDict, TypeVar, Unpack, overload

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from rudder_lrp.lrp import checks
from rudder_lrp.lrp.closed_form import has_closed_form
from rudder_lrp.lrp.dense import Dense, DensePassed, layers_of
from rudder_lrp.lrp.ledger import Ledger
from rudder_lrp.lrp.rules import GATE_RULES, LINEAR_RULES, GateRule, LinearRule, Rules, epsilon
from rudder_lrp.lrp.sequences import Arrivals, pack_like, unpack, without_padding
from rudder_lrp.lrp.stack import Stack, total
from rudder_lrp.lstm import State

Reads = Literal["hidden", "cell"]
Target = int | Tensor | None
Batch = TypeVar("Batch", Tensor, PackedSequence)


class Options(TypedDict, total=False):
    """What an explanation may say on top."""

    state: State | None
    """Initial states as `nn.LSTM` takes them, `[layers * directions, B, H]` each; zero by default."""
    step: int | Tensor | None
    """Step whose output is explained, one for all or `[B]`. By default the readout reads the final state of each
    direction, as in `h_n`; with a step it reads what the LSTM returns at that step."""
    relevance: Tensor | None
    """Instead of an output, relevance of the hidden states that the LSTM returns, `[B, T, D * H]` (`[T, B, D * H]` if
    not `batch_first`); on padding it is ignored."""


class Explanation(NamedTuple):
    """Relevance of one output for everything that fed it."""

    inputs: Tensor
    """Of each feature at each step, `[B, T, F]`."""
    steps: Tensor
    """Of each step, `[B, T]`: its features, and what biases and stabilizers of the maps into the cells and of the
    encoder absorbed at it."""
    ledger: Ledger
    """Where the relevance went."""


class LRP:
    """Layer-wise relevance propagation through an `nn.LSTM`, the layers before it and the readout after it.

    The model is not modified, needs no gradients and is explained as in evaluation: dropout does nothing. Where the
    weights let no relevance travel back through the hidden state (under LRP-all: Markov, accumulator), the cell's share
    is computed in closed form, without stabilizer and without leak.

    Args:
        lstm: any number of layers, one or two directions, `batch_first` or not, with or without bias.
        readout: a Linear, or a Sequential of Linear and elementwise activations; None to inject relevance only.
        rule: how a gated product shares relevance: "all", "half", "prop", "abs", or a function (`GateRule`).
        eps: stabilizer of the denominators, > 0.
        linear: rule of the map into the cell input: "epsilon"; "gamma" or "z-plus" where nothing that feeds it is
            negative; or a function (`LinearRule`).
        encoder: layers before the LSTM, of the same kinds as the readout's.
        conserve: whether what biases and stabilizers absorb is spread evenly over what feeds the same map, so that
            the relevance of inputs and initial states sums to the output.
        reads: whether the readout reads the hidden or the cell state.

    Raises:
        TypeError: if the modules are not of these types.
        ValueError: if they do not fit together or use what is not supported.
    """

    def __init__(
        self,
        lstm: nn.LSTM,
        readout: nn.Module | None = None,
        rule: str | GateRule = "all",
        eps: float = 1e-3,
        *,
        linear: str | LinearRule = "epsilon",
        encoder: nn.Module | None = None,
        conserve: bool = False,
        reads: Reads = "hidden",
    ) -> None:
        checks.check_lstm(lstm)
        if not eps > 0 or reads not in ("hidden", "cell"):
            raise ValueError(f"eps must be > 0 and reads 'hidden' or 'cell', got {eps} and {reads!r}; change them")
        self.lstm = lstm
        self.rules = Rules(
            checks.check_rule("rule", rule, GATE_RULES),
            checks.check_rule("linear", linear, LINEAR_RULES),
            eps,
            conserve,
        )
        self.reads = reads
        self._readout = None if readout is None else layers_of(readout)
        self._encoder = [] if encoder is None else layers_of(encoder)
        self._check_widths()

    @overload
    def attribute(
        self,
        inputs: Batch,
        target: Target = None,
        lengths: Tensor | None = None,
        return_ledger: Literal[False] = False,
        **options: Unpack[Options],
    ) -> Batch: ...

    @overload
    def attribute(
        self,
        inputs: Batch,
        target: Target = None,
        lengths: Tensor | None = None,
        *,
        return_ledger: Literal[True],
        **options: Unpack[Options],
    ) -> tuple[Batch, Ledger]: ...

    def attribute(
        self,
        inputs: Batch,
        target: Target = None,
        lengths: Tensor | None = None,
        return_ledger: bool = False,
        **options: Unpack[Options],
    ) -> Batch | tuple[Batch, Ledger]:
        """Relevance of the inputs for one output, shaped like the inputs.

        Args:
            inputs: `[B, T, F]`, or `[T, B, F]` for an LSTM that is not `batch_first`; or a `PackedSequence`.
            target: index of the output, one for all or `[B]`; may be left out if there is only one.
            lengths: valid steps of each sequence, `[B]`; all of them by default. Padding gets exactly zero.
            return_ledger: whether to return the `Ledger` too.
            options: see `Options`.

        Raises:
            TypeError, ValueError: if an argument does not fit the model, naming what was found and what is supported.
        """
        if isinstance(inputs, PackedSequence):
            if lengths is not None:
                raise ValueError("a PackedSequence brings its lengths, got lengths as well; leave them out")
            padded, lengths = unpack(inputs)
            relevance, ledger, _ = self._explain(padded.transpose(0, 1), target, lengths, return_ledger, options)
            packed = pack_like(inputs, relevance.transpose(0, 1))
            return (packed, ledger) if ledger is not None else packed
        checks.check_inputs(inputs, self._weight, self._features, "[B, T, F]" if self.lstm.batch_first else "[T, B, F]")
        relevance, ledger, _ = self._explain(self._swap(inputs), target, lengths, return_ledger, options)
        relevance = self._swap(relevance)
        return (relevance, ledger) if ledger is not None else relevance

    def explain(
        self, inputs: Tensor, target: Target = None, lengths: Tensor | None = None, **options: Unpack[Options]
    ) -> Explanation:
        """Relevance of features and steps for one output, of inputs `[B, T, F]` in any case; see `attribute`."""
        checks.check_inputs(inputs, self._weight, self._features, "[B, T, F]")
        relevance, ledger, absorbed = self._explain(inputs.transpose(0, 1), target, lengths, True, options)
        assert ledger is not None
        assert absorbed is not None
        return Explanation(relevance.transpose(0, 1), (relevance.sum(2) + absorbed).T, ledger)

    @torch.no_grad()
    def _explain(
        self, inputs: Tensor, target: Target, lengths: Tensor | None, account: bool, options: Options
    ) -> tuple[Tensor, Ledger | None, Tensor | None]:
        """Relevance `[T, B, F]` of inputs `[T, B, F]`; on demand the ledger and what each step absorbed, `[T, B]`."""
        lengths = checks.check_lengths(inputs, lengths)
        inputs = without_padding(inputs, lengths)
        state = options.get("state")
        checks.check_state(self.lstm, state, inputs)
        checks.check_finite("inputs", inputs)
        encoded = Dense(self._encoder, inputs)
        stack = Stack(self.lstm, encoded.outputs, lengths, state)
        if self.rules.linear is not epsilon:
            stack.check_non_negative()
        arrivals, read = self._read(stack, target, options)
        relevance, accounts = stack.propagate(arrivals, self.rules, account)
        passed = encoded.propagate(relevance, self.rules)
        if not account:
            return passed.inputs, None, None
        sums = total(accounts)
        ledger = Ledger(
            inputs=passed.inputs.sum((0, 2)),
            cell_input_bias=sums.cell_input_bias,
            gate_bias=sums.gate_bias,
            readout_bias=read.bias,
            encoder_bias=passed.bias.sum(0),
            stabilizer=sums.stabilizer + read.stabilizer + passed.stabilizer.sum(0),
            initial_hidden=sums.initial_hidden,
            initial_cell=sums.initial_cell,
            through_gates=sums.through_gates,
        )
        return passed.inputs, ledger, sums.steps + passed.bias + passed.stabilizer

    def _read(self, stack: Stack, target: Target, options: Options) -> tuple[list[Arrivals], DensePassed]:
        """Relevance of the topmost states, from the readout or as injected."""
        lengths, batch = stack.lengths, len(stack.lengths)
        injected = options.get("relevance")
        if injected is not None:
            if target is not None or options.get("step") is not None:
                raise ValueError("relevance was passed along with a target or a step; pass one or the other")
            injected = self._swap(injected)
            checks.check_relevance(injected, stack.outputs())
            injected = without_padding(injected, lengths)
            none = injected.new_zeros(batch)
            return stack.arrivals(injected, self._at_cell), DensePassed(injected, none, none)
        if self._readout is None:
            raise ValueError("there is no readout to explain an output of; pass one to LRP, or relevance to attribute")
        step = checks.check_step(options.get("step"), lengths)
        readout = Dense(self._readout, stack.states(step, self._at_cell))
        outputs = readout.outputs.shape[1]
        chosen = checks.check_target(target, outputs, batch, lengths.device)
        selected = torch.nn.functional.one_hot(chosen, outputs).to(readout.outputs.dtype)
        exact = all(has_closed_form(direction.weights, self.rules) for direction in stack.layers[-1])
        read = readout.explain(selected, self.rules, exact)
        return stack.arrivals_at(step, read, self._at_cell), read

    def _swap(self, values: Tensor) -> Tensor:
        """Between the layout of the model and `[T, B, ...]`."""
        return values.transpose(0, 1) if self.lstm.batch_first else values

    @property
    def _at_cell(self) -> bool:
        return self.reads == "cell"

    @property
    def _weight(self) -> Tensor:
        return self.lstm.get_parameter("weight_ih_l0")

    @property
    def _features(self) -> int:
        widths = [layer.in_features for layer in self._encoder if isinstance(layer, nn.Linear)]
        return widths[0] if widths else self.lstm.input_size

    def _check_widths(self) -> None:
        states = self.lstm.hidden_size * (2 if self.lstm.bidirectional else 1)
        for layer in self._readout or []:
            if isinstance(layer, nn.Linear):
                checks.check_width("readout takes", layer.in_features, "LSTM returns", states)
                break
        for layer in reversed(self._encoder):
            if isinstance(layer, nn.Linear):
                checks.check_width("encoder returns", layer.out_features, "LSTM takes", self.lstm.input_size)
                break
