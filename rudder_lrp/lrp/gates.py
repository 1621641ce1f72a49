"""What the gates of one layer and direction of an LSTM did at each step."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from rudder_lrp.lstm import Gate, cell_states, tanh


class Gates(NamedTuple):
    """What input gate, forget gate and cell input did at all steps, `[T, B, H]` each unless said.

    Fresh memory costs more than arithmetic here, so what is used up makes room: without gates that take relevance `i`
    and `f` overwrite their pre-activations.
    """

    z: Tensor
    """Blocks i, f (unless always open), g, and o where gates take relevance, of one buffer, `[T, B, blocks, H]`."""
    z_g: Tensor
    """Pre-activation of the cell input."""
    f: Tensor
    """Forget gate."""
    written: Tensor
    """`i * g`."""
    scratch: Tensor
    """Room for states, `[T + 1, B, H]`."""

    @classmethod
    def of(cls, z: Tensor, room: Tensor | None = None) -> Gates:
        """From their pre-activations, which they overwrite.

        Args:
            z: blocks i, f (unless always open), g, and o where gates take relevance, `[T, B, blocks, H]`.
            room: for the scratch, at least `[T + 1, B, H]`; fresh memory by default.
        """
        blocks = z.shape[2]
        g = min(blocks - 1, 2)
        gates, z_g = z[:, :, :g], z[:, :, g]
        i, f = _opened(gates.sigmoid() if blocks == len(Gate) else gates.sigmoid_())
        scratch = z.new_empty(len(z) + 1, *z_g.shape[1:]) if room is None else room[: len(z) + 1]
        written = i.mul_(tanh(z_g, out=scratch[1:]))
        return cls(z, z_g, f, written, scratch)

    def last_cell(self, initial: Tensor) -> Tensor:
        """Cell state after the last step, `[B, H]`, from the one before the first."""
        return initial + self.written.sum(0) if self.never_forgets else self.cells(initial)[-1].clone()

    @property
    def never_forgets(self) -> bool:
        """Whether the forget gate is always open."""
        return self.z.shape[2] == 2

    def pause_(self, padding: Tensor) -> None:
        """Change no cell where a sequence has no step, `[T, B, 1]`."""
        self.written.masked_fill_(padding, 0.0)
        if not self.never_forgets:
            self.f.masked_fill_(padding, 1.0)

    def cells(self, initial: Tensor) -> Tensor:
        """Cell states, `[T + 1, B, H]`, the initial one first; in the scratch room."""
        return cell_states(self.written, self.f, initial, out=self.scratch)


def _opened(gates: Tensor) -> tuple[Tensor, Tensor]:
    """Input and forget gate, the latter one everywhere if it is not among `[T, B, gates, H]`."""
    i = gates[:, :, 0]
    return i, gates[:, :, 1] if gates.shape[2] > 1 else gates.new_ones(gates.shape[3]).expand_as(i)
