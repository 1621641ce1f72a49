"""What the rivals of LRP share: the score they explain, and the care for layout, lengths and the model's mode."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from rudder_lrp.lrp.checks import check_inputs, check_lengths
from rudder_lrp.lrp.closed_form import valid_steps

Reads = Literal["hidden", "cell"]
Score = Callable[[Tensor, Tensor], Tensor]
"""From inputs `[B, T, F]` and lengths `[B]` to one output each, `[B]`."""


class Unit(StrEnum):
    """What is switched off as one."""

    FEATURE = "feature"
    """Each feature of each step by itself."""
    STEP = "step"
    """A whole step; its relevance is spread evenly over its features, so that their sum is the step's."""


class LSTMAttribution(ABC):
    """An explanation of an `nn.LSTM` and the readout of its final state; a subclass adds the method.

    Any LSTM will do: stacked, bidirectional, with a projection, `batch_first` or not. The readout sees `h_n` of the
    last layer after the last valid step, both directions concatenated.

    Args:
        lstm: the trained LSTM.
        readout: any module from the final state `[B, H]` to the outputs `[B, C]`.
        reads: whether the readout reads the hidden or the cell state.

    Raises:
        TypeError: if `lstm` is no `nn.LSTM` or `readout` no module.
        ValueError: if `reads` is neither.
    """

    def __init__(self, lstm: nn.LSTM, readout: nn.Module, *, reads: Reads = "hidden") -> None:
        if not isinstance(lstm, nn.LSTM) or not isinstance(readout, nn.Module):
            raise TypeError(
                f"explained are a torch.nn.LSTM and an nn.Module that reads it out, got {type(lstm).__name__} "
                f"and {type(readout).__name__}; pass the two parts of the model"
            )
        if reads not in ("hidden", "cell"):
            raise ValueError(f"reads must be 'hidden' or 'cell', got {reads!r}")
        self.lstm = lstm
        self.readout = readout
        self.reads = reads

    def attribute(self, inputs: Tensor, target: int | None = None, *, lengths: Tensor | None = None) -> Tensor:
        """See `Attribution.attribute`.

        Raises:
            TypeError, ValueError: if an argument does not fit the model, naming what was found and what is supported.
        """
        check_inputs(self.lstm, inputs)
        batch = inputs.detach() if self.lstm.batch_first else inputs.detach().transpose(0, 1)
        lengths = check_lengths(batch, lengths)
        with evaluating(self.lstm, self.readout):
            relevance = self._relevance(batch, lengths, self._index(batch, target))
        relevance = relevance.detach().to(batch.dtype) * valid_steps(lengths, batch.shape[1])[..., None]
        return relevance if self.lstm.batch_first else relevance.transpose(0, 1)

    def score(self, target: int) -> Score:
        """The output that is explained, as a function of inputs and lengths."""
        return lambda inputs, lengths: self._outputs(inputs, lengths)[:, target]

    @abstractmethod
    def _relevance(self, inputs: Tensor, lengths: Tensor, target: int) -> Tensor:
        """Relevance `[B, T, F]` of inputs `[B, T, F]` for an output; what it says of padding is thrown away."""

    @torch.no_grad()
    def _index(self, inputs: Tensor, target: int | None) -> int:
        outputs = self._outputs(inputs[:1, :1], torch.ones(1, dtype=torch.long)).shape[1]
        if target is None and outputs == 1:
            return 0
        if target is None or not 0 <= target < outputs:
            raise ValueError(f"target must be one of the outputs 0 to {outputs - 1}, got {target}")
        return target

    def _outputs(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(inputs, lengths.cpu(), batch_first=True, enforce_sorted=False)
        hidden, cell = self.lstm(packed)[1]
        directions = 2 if self.lstm.bidirectional else 1
        final = (hidden if self.reads == "hidden" else cell)[-directions:]
        outputs: Tensor = self.readout(torch.cat(final.unbind(0), dim=-1))
        return outputs


@contextmanager
def evaluating(*modules: nn.Module) -> Iterator[None]:
    """Switch dropout off for a while, and cuDNN, whose backward pass needs training mode."""
    modes = [(part, part.training) for module in modules for part in module.modules()]
    try:
        for module in modules:
            module.eval()
        with torch.backends.cudnn.flags(enabled=False):
            yield
    finally:
        for part, training in modes:
            part.training = training


def by_length(lengths: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Each length that occurs with the indices of its sequences."""
    for length in lengths.unique():
        yield int(length), (lengths == length).nonzero()[:, 0]


def unit_mask(inputs: Tensor, unit: Unit) -> Tensor:
    """Number the units of `[B, T, F]` from 0, `[1, T, F]`; what has the same number is switched off together."""
    _, horizon, features = inputs.shape
    if unit is Unit.STEP:
        return torch.arange(horizon, device=inputs.device)[None, :, None].expand(1, horizon, features).contiguous()
    return torch.arange(horizon * features, device=inputs.device).view(1, horizon, features)


def spread(relevance: Tensor, unit: Unit) -> Tensor:
    """Divide what every feature of a step was given for the whole step by their number."""
    return relevance / relevance.shape[-1] if unit is Unit.STEP else relevance


def captum_attr() -> Any:
    """The attribution methods of Captum, an optional dependency.

    Raises:
        ImportError: naming the extra, if it is not installed.
    """
    try:
        import captum.attr
    except ImportError as error:
        raise ImportError('this attribution calls Captum: pip install "rudder-lrp[attribution]"') from error
    return captum.attr
