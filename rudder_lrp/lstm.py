"""The recurrent core: a trained `torch.nn.LSTM` taken apart, and the structures made for LRP.

The fused kernels return `h` alone. Given all `h`, the pre-activations of any gate at all steps are one matrix product,
and the cell states follow by an elementwise scan: all that an explanation needs.

The structures of Arras et al. 2019, section 4, are constraints on the weights of an ordinary LSTM, so the fused
kernels and the standard `state_dict` stay:

- *standard*: no constraint;
- *Markov*: the cell input `g` does not see `h`, so `c_T = sum_t (prod_{s>t} f_s) i_t g_t`, whatever the gates do;
- *minimal*: Markov with gates that see the inputs alone, too (as minLSTM, Feng et al. 2024): nothing waits for `h`, and
  all steps are computed at once;
- *output gated*: Markov with the forget gate pinned open: a sum over time, let out by a gate;
- *leaky*: Markov with the output gate pinned open, read out at the cell state `c_T`, which may forget;
- *accumulator*: minimal with both pinned open, read out at the cell state `c_T = sum_t i_t g_t`: a gated layer summed
  over time.

Two more constraints go with any of them: gates that see `h` alone, and a cell input that is never negative.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import NamedTuple

import torch
from torch import Tensor, nn

State = tuple[Tensor, Tensor]
"""Hidden and cell state of a batch, each `[B, H]`."""

_PINNED_OPEN = 40.0  # sigmoid(40) rounds to exactly 1 in float64
_SHUT = 1e6  # sigmoid(-1e6 + z) rounds to exactly 0 for any z that weights make


class Gate(IntEnum):
    """The four blocks of rows of an LSTM's weights; g, the cell input, is no gate but sits among them."""

    I = 0  # noqa: E741
    F = 1
    G = 2
    O = 3  # noqa: E741


class Structure(StrEnum):
    """Which connections of the LSTM are present, from all of them to the fewest."""

    STANDARD = "standard"
    MARKOV = "markov"
    MINIMAL = "minimal"
    OUTPUT_GATED = "output-gated"
    LEAKY = "leaky"
    ACCUMULATOR = "accumulator"

    @property
    def reads_cell(self) -> bool:
        """Whether the output gate is always open and the readout reads the cell state."""
        return self in (Structure.LEAKY, Structure.ACCUMULATOR)

    @property
    def recurrent(self) -> bool:
        """Whether a gate or the cell input sees the hidden state before it."""
        return self not in (Structure.MINIMAL, Structure.ACCUMULATOR)


class LayerWeights(NamedTuple):
    """Weights of one layer and direction of an LSTM, the rows in PyTorch's gate order i, f, g, o."""

    W: Tensor
    """From the inputs, `[4 H, F]`."""
    U: Tensor
    """From the hidden state, `[4 H, H]`."""
    b: Tensor
    """Both biases together, `[4 H]`; zero for an LSTM without bias."""

    @classmethod
    def of(cls, lstm: nn.LSTM, layer: int = 0, reverse: bool = False) -> LayerWeights:
        """Read those of one layer and direction."""
        end = f"l{layer}_reverse" if reverse else f"l{layer}"
        # As attributes: pruned and parametrised weights are no parameters.
        W, U = getattr(lstm, f"weight_ih_{end}"), getattr(lstm, f"weight_hh_{end}")
        if not lstm.bias:
            return cls(W, U, W.new_zeros(len(W)))
        return cls(W, U, getattr(lstm, f"bias_ih_{end}") + getattr(lstm, f"bias_hh_{end}"))

    def rows(self, gate: Gate) -> LayerWeights:
        """Those into one gate: `[H, F]`, `[H, H]` and `[H]`."""
        return self.cut(gate_rows(self.U.shape[1])[gate])

    def cut(self, rows: slice) -> LayerWeights:
        """Some of the rows."""
        return LayerWeights(self.W[rows], self.U[rows], self.b[rows])

    def preactivation(self, inputs: Tensor, initial_h: Tensor | None = None, h: Tensor | None = None) -> Tensor:
        """`W x_t + U h_{t-1} + b` of all steps.

        Args:
            inputs: `[T, B, F]`, contiguous.
            initial_h: h_0, `[B, H]`; both may be left out where no row sees the hidden state.
            h: hidden states after each step, `[T, B, H]`, contiguous.
        """
        z = torch.addmm(self.b, inputs.flatten(0, 1), self.W.T)
        if initial_h is not None and h is not None and (seeing := self.recurrent_rows()):
            batch, U = len(initial_h), self.U[:seeing].T
            z[:batch, :seeing].addmm_(initial_h, U)
            z[batch:, :seeing].addmm_(h[:-1].flatten(0, 1), U)
        return z.view(*inputs.shape[:2], -1)

    def recurrent_rows(self) -> int:
        """Number of rows up to the last gate that sees the hidden state."""
        hidden = self.U.shape[1]
        sees = self.U.unflatten(0, (-1, hidden)).ne(0).flatten(1).any(1).tolist()
        return hidden * max((at for at, seen in enumerate(sees, start=1) if seen), default=0)

    def is_open(self, gate: Gate) -> bool:
        """Whether a gate is pinned open, whatever the LSTM sees."""
        W, U, b = self.rows(gate)
        return not (W.any() or U.any() or b.min() < _PINNED_OPEN)

    def run(self, inputs: Tensor, state: State, padding: Tensor | None = None) -> State:
        """Run the fused kernel over `[T, B, F]`: all hidden states, `[T, B, H]`, and the last cell state, `[B, H]`.

        Args:
            inputs: `[T, B, F]`.
            state: h_0 and c_0, `[B, H]` each.
            padding: where a sequence has no step, `[T, B, 1]`: its cell state stays as it is there.
        """
        if padding is not None:
            return self._keeping().run(torch.cat([inputs, padding.to(inputs.dtype)], dim=2), state)
        initial = [part[None] for part in state]
        h, _, c = torch.lstm(inputs, initial, self._together(), True, 1, 0.0, False, False, False)
        return h, c[0]

    def _keeping(self) -> LayerWeights:
        """With one more input that closes the input gate and opens the forget gate, whatever the others are."""
        blocks = self.W.new_tensor([-_SHUT, _SHUT, 0.0, 0.0])
        return self._replace(W=torch.cat([self.W, blocks.repeat_interleave(self.U.shape[1])[:, None]], dim=1))

    def _together(self) -> list[Tensor]:
        """The parameters as the fused kernel takes them; on a GPU in one chunk of memory, as cuDNN asks for."""
        parts = [self.W, self.U, self.b, torch.zeros_like(self.b)]
        if not self.W.is_cuda:
            return parts
        chunk = torch.cat([part.flatten() for part in parts])
        return [piece.view_as(part) for piece, part in zip(chunk.split([p.numel() for p in parts]), parts, strict=True)]


def gate_rows(hidden: int) -> tuple[slice, slice, slice, slice]:
    """Rows of the weights that belong to the gates i, f, g, o."""
    i, f, g, o = (slice(at * hidden, (at + 1) * hidden) for at in range(4))
    return i, f, g, o


def tanh(z: Tensor, out: Tensor) -> Tensor:
    """`tanh(z) = 2 sigmoid(2 z) - 1`, which the CPU computes several times faster."""
    return torch.mul(z, 2.0, out=out).sigmoid_().mul_(2.0).sub_(1.0)


def cell_states(written: Tensor, f: Tensor, initial: Tensor, out: Tensor) -> Tensor:
    """Scan `c_t = f_t c_{t-1} + written_t` over time, `[T, B, H]` to `[T + 1, B, H]` with the initial row first."""
    rows = out.unbind(0)
    rows[0].copy_(initial)
    for t, (new, kept) in enumerate(zip(written.unbind(0), f.unbind(0), strict=True)):
        torch.addcmul(new, kept, rows[t], out=rows[t + 1])
    return out


_PINNED: dict[Structure, tuple[Gate, ...]] = {
    Structure.MARKOV: (),
    Structure.MINIMAL: (),
    Structure.OUTPUT_GATED: (Gate.F,),
    Structure.LEAKY: (Gate.O,),
    Structure.ACCUMULATOR: (Gate.F, Gate.O),
}
"""Gates that a structure without recurrent cell input pins open."""


def constrain_(
    lstm: nn.LSTM, structure: Structure, *, recurrent_gates: bool = False, non_negative: bool = False
) -> None:
    """Put the weights of a one-layer LSTM back on a structure, in place; call it after each update.

    Args:
        lstm: one layer, one direction.
        structure: what it forbids becomes zero, what it pins stays open.
        recurrent_gates: whether the gates see the hidden state alone and not the inputs.
        non_negative: whether the weights and biases into the cell input are kept >= 0. With inputs >= 0 cell input,
            cell and hidden states are then >= 0 too, as the linear rules gamma and z-plus need it.
    """
    W, U = lstm.get_parameter("weight_ih_l0"), lstm.get_parameter("weight_hh_l0")
    rows = gate_rows(lstm.hidden_size)
    with torch.no_grad():
        if recurrent_gates:
            for gate in (Gate.I, Gate.F, Gate.O):
                W[rows[gate]] = 0.0
        if non_negative:
            for name, weight in lstm.named_parameters():
                if name.endswith("l0"):
                    weight[rows[Gate.G]] = weight[rows[Gate.G]].clamp_(min=0.0)
        if structure is Structure.STANDARD:
            return
        U[rows[Gate.G]] = 0.0
        if not structure.recurrent:
            U.zero_()
        for gate in _PINNED[structure]:
            W[rows[gate]] = 0.0
            U[rows[gate]] = 0.0
            lstm.get_parameter("bias_ih_l0")[rows[gate]] = _PINNED_OPEN
            lstm.get_parameter("bias_hh_l0")[rows[gate]] = 0.0


def structure_of(lstm: nn.LSTM) -> Structure:
    """Find the narrowest structure that the weights of a one-layer LSTM satisfy."""
    weights = LayerWeights.of(lstm)
    if weights.rows(Gate.G).U.any():
        return Structure.STANDARD
    pinned = tuple(gate for gate in (Gate.F, Gate.O) if weights.is_open(gate))
    if not pinned and not weights.U.any():
        return Structure.MINIMAL
    return next(structure for structure, gates_ in _PINNED.items() if gates_ == pinned)
