"""Where the relevance went: what reached the inputs, and what did not."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Ledger(NamedTuple):
    """Relevance of one output by where it ended, each `[B]`; all but `through_gates` sum to the output."""

    inputs: Tensor
    """Reached the inputs."""
    cell_input_bias: Tensor
    """Absorbed by the biases of the cell inputs, of all layers and directions."""
    gate_bias: Tensor
    """Absorbed by the biases of the gates; zero under LRP-all, which pays no gate."""
    readout_bias: Tensor
    """Absorbed by the biases of the readout."""
    encoder_bias: Tensor
    """Absorbed by the biases of the layers before the LSTM."""
    stabilizer: Tensor
    """Absorbed by epsilon, and by what a gate rule's shares leave of 1."""
    initial_hidden: Tensor
    """Arrived at h_0."""
    initial_cell: Tensor
    """Arrived at c_0."""
    through_gates: Tensor
    """Handed to gates on the way, which pass it on; zero under LRP-all. Not an end of its own, so not in the sum."""

    @property
    def initial_state(self) -> Tensor:
        """Arrived at h_0 and c_0, `[B]`."""
        return self.initial_hidden + self.initial_cell

    def total(self) -> Tensor:
        """Sum of all ends, `[B]`."""
        return sum(self[1:-1], start=self.inputs)
