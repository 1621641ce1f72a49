"""What every explanation has in common: one verb, one contract."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor

Target = int | Tensor | None
"""Which output is explained: one index for all sequences, one for each `[B]`, or None if there is only one."""


@runtime_checkable
class Attribution(Protocol):
    """Says how much each input mattered for one output of a model; `LRP` and all its rivals satisfy it.

    The model is not modified. Padding gets exactly zero, and a sequence gets the same relevance alone as in any batch.
    """

    def attribute(self, inputs: Tensor, target: Target = None, *, lengths: Tensor | None = None) -> Tensor:
        """Relevance of the inputs for one output, shaped like the inputs.

        Args:
            inputs: `[B, T, F]`, or `[T, B, F]` for an LSTM that is not `batch_first`.
            target: index of the output, one for all or `[B]`; may be left out if there is only one.
            lengths: valid steps of each sequence, `[B]`; all of them by default.
        """
        ...
