"""Where the relevance went: what reached the inputs, and what did not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor


class Ledger(NamedTuple):
    """Relevance of one output by where it ended, each `[B]`; all but `through_gates` sum to the output."""

    inputs: Tensor
    """Reached the inputs."""
    cell_input_bias: Tensor
    """Absorbed by the biases of the cell inputs (of a GRU, the candidates), of all layers and directions."""
    gate_bias: Tensor
    """Absorbed by the biases of the gates; zero under LRP-all, which pays no gate."""
    readout_bias: Tensor
    """Absorbed by the biases of the readout."""
    encoder_bias: Tensor
    """Absorbed by the biases of the layers before the recurrent one."""
    stabilizer: Tensor
    """Absorbed by epsilon, and by what a gate rule's shares leave of 1."""
    initial_hidden: Tensor
    """Arrived at h_0."""
    initial_cell: Tensor
    """Arrived at c_0; zero for a GRU."""
    through_gates: Tensor
    """Handed to gates on the way, which pass it on; zero under LRP-all. Not an end of its own, so not in the sum."""

    @property
    def initial_state(self) -> Tensor:
        """Arrived at h_0 and c_0, `[B]`."""
        return self.initial_hidden + self.initial_cell

    def total(self) -> Tensor:
        """Sum of all ends, `[B]`."""
        return sum(self[1:-1], start=self.inputs)


@dataclass(frozen=True)
class ModelLedger:
    """Relevance of one output of a whole model by where it ended; all of it sums to the output.

    Each account but the first holds `[B]` by the name of a module (of the operation, in the model's own `forward`).
    """

    inputs: Tensor
    """Reached the inputs, `[B]`."""
    biases: dict[str, Tensor] = field(default_factory=dict)
    """Absorbed by biases, those of gates included."""
    stabilizers: dict[str, Tensor] = field(default_factory=dict)
    """Absorbed by epsilon, and by what a gate rule's shares leave of 1."""
    initial_states: dict[str, Tensor] = field(default_factory=dict)
    """Arrived at initial states that do not depend on the inputs."""
    constants: dict[str, Tensor] = field(default_factory=dict)
    """Arrived at numbers, parameters and other tensors that are summed or joined with what depends on the inputs."""

    def add(self, account: str, name: str, relevance: Tensor) -> None:
        """Enter relevance `[B]`."""
        entries: dict[str, Tensor] = getattr(self, account)
        entries[name] = entries[name] + relevance if name in entries else relevance

    def accounts(self) -> dict[str, Tensor]:
        """Sum of each account, `[B]` each."""
        none = torch.zeros_like(self.inputs)
        parts = {
            "biases": self.biases,
            "stabilizers": self.stabilizers,
            "initial_states": self.initial_states,
            "constants": self.constants,
        }
        return {"inputs": self.inputs} | {name: sum(part.values(), start=none) for name, part in parts.items()}

    def total(self) -> Tensor:
        """Sum of all ends, `[B]`."""
        return sum(self.accounts().values(), start=torch.zeros_like(self.inputs))


def empty_model_ledger(relevance: Tensor) -> ModelLedger:
    """One with nothing entered, for a batch like that of `relevance` `[B, ...]`."""
    return ModelLedger(relevance.new_zeros(len(relevance)))
