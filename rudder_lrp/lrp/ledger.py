"""Where the relevance went: what reached the inputs, and what did not."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Ledger(NamedTuple):
    """Relevance of one output by where it ended, each `[B]`; the entries sum to the output."""

    inputs: Tensor
    """Reached the inputs."""
    cell_input_bias: Tensor
    """Absorbed by the biases of the cell input."""
    readout_bias: Tensor
    """Absorbed by the bias of the readout."""
    stabilizer: Tensor
    """Absorbed by epsilon."""
    initial_state: Tensor
    """Arrived at h_0 and c_0."""

    def total(self) -> Tensor:
        """Sum of all entries, `[B]`."""
        return self.inputs + self.cell_input_bias + self.readout_bias + self.stabilizer + self.initial_state
