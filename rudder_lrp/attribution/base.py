"""What the rivals of LRP share: the score they explain, and the care for layout, lengths and the model's mode."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from enum import StrEnum
from typing import Any, Literal, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from rudder_lrp.attribution.protocol import Target
from rudder_lrp.lrp.checks import check_finite, check_inputs, check_lengths, check_target
from rudder_lrp.lrp.evaluation import evaluating
from rudder_lrp.lrp.sequences import pack_like, unpack, valid_steps

Reads = Literal["hidden", "cell"]
Batch = TypeVar("Batch", Tensor, PackedSequence)


class Unit(StrEnum):
    """What is switched off as one."""

    FEATURE = "feature"
    """Each feature of each step by itself."""
    STEP = "step"
    """A whole step; its relevance is spread evenly over its features, so that their sum is the step's."""


@dataclass(eq=False)
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

    lstm: nn.LSTM
    readout: nn.Module
    _: KW_ONLY
    reads: Reads = "hidden"

    def __post_init__(self) -> None:
        if not isinstance(self.lstm, nn.LSTM) or not isinstance(self.readout, nn.Module):
            raise TypeError(
                f"explained are a torch.nn.LSTM and an nn.Module that reads it out, got {type(self.lstm).__name__} "
                f"and {type(self.readout).__name__}; pass the two parts of the model"
            )
        if self.reads not in ("hidden", "cell"):
            raise ValueError(f"reads must be 'hidden' or 'cell', got {self.reads!r}")

    def attribute(self, inputs: Batch, target: Target = None, *, lengths: Tensor | None = None) -> Batch:
        """See `Attribution.attribute`; a `PackedSequence` will do as well and is returned in kind.

        Raises:
            TypeError, ValueError: if an argument does not fit the model, naming what was found and what is supported.
        """
        if isinstance(inputs, PackedSequence):
            if lengths is not None:
                raise ValueError("a PackedSequence brings its lengths, got lengths as well; leave them out")
            padded, lengths = unpack(inputs)
            return pack_like(inputs, self._explain(padded, lengths, target))
        return self._swap(self._explain(self._swap(inputs), lengths, target))

    def _explain(self, inputs: Tensor, lengths: Tensor | None, target: Target) -> Tensor:
        """Relevance `[B, T, F]` of inputs `[B, T, F]`."""
        with evaluating(self.lstm, self.readout):
            inputs, lengths, target = self._checked(inputs, lengths, target)
            relevance = self._relevance(inputs, lengths, target).detach().to(inputs.dtype)
        return relevance * valid_steps(lengths, inputs.shape[1])[..., None]

    def _swap(self, values: Tensor) -> Tensor:
        """Between the layout of the model and `[B, T, F]`."""
        return values if self.lstm.batch_first or values.ndim != 3 else values.transpose(0, 1)

    def score(self, inputs: Tensor, lengths: Tensor, target: Tensor) -> Tensor:
        """The output `target` `[B]` of each sequence, `[B]`: what is explained."""
        return self._outputs(inputs, lengths).gather(1, target[:, None])[:, 0]

    @abstractmethod
    def _relevance(self, inputs: Tensor, lengths: Tensor, target: Tensor) -> Tensor:
        """Relevance `[B, T, F]` of inputs `[B, T, F]` for the score; what it says of padding is thrown away."""

    def _checked(self, inputs: Tensor, lengths: Tensor | None, target: Target) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs `[B, T, F]` with zeros as padding, lengths and target `[B]`."""
        check_inputs(inputs, cast(Tensor, self.lstm.weight_ih_l0), self.lstm.input_size, "[B, T, F]")
        lengths = check_lengths(inputs.transpose(0, 1), lengths)
        inputs = inputs.detach().masked_fill(~valid_steps(lengths, inputs.shape[1])[..., None], 0.0)
        check_finite("inputs", inputs)
        with torch.no_grad():
            outputs = self._outputs(inputs[:1, :1], torch.ones(1, dtype=torch.long)).shape[1]
        return inputs, lengths, check_target(target, outputs, len(inputs), inputs.device)

    def _outputs(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(inputs, lengths.cpu(), batch_first=True, enforce_sorted=False)
        hidden, cell = self.lstm(packed)[1]
        directions = 2 if self.lstm.bidirectional else 1
        final = (hidden if self.reads == "hidden" else cell)[-directions:]
        outputs: Tensor = self.readout(torch.cat(final.unbind(0), dim=-1))
        return outputs


def by_length(lengths: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Each length that occurs with the indices of its sequences."""
    for length in lengths.unique():
        yield int(length), (lengths == length).nonzero()[:, 0]


def unit_mask(inputs: Tensor, unit: Unit | str) -> Tensor:
    """Number the units of `[B, T, F]` from 0, `[1, T, F]`; what has the same number is switched off together."""
    _, horizon, features = inputs.shape
    if unit == Unit.STEP:
        return torch.arange(horizon, device=inputs.device)[None, :, None].expand(1, horizon, features).contiguous()
    return torch.arange(horizon * features, device=inputs.device).view(1, horizon, features)


def spread(relevance: Tensor, unit: Unit | str) -> Tensor:
    """Divide what every feature of a step was given for the whole step by their number."""
    return relevance / relevance.shape[-1] if unit == Unit.STEP else relevance


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


def ask_captum(method: Any, inputs: Tensor, lengths: Tensor, target: Tensor, **options: Any) -> Tensor:
    """What a method of Captum says of a score, shaped like the inputs.

    Args:
        method: one of `captum_attr`, of `LSTMAttribution.score`.
        inputs: `[B, T, F]`.
        lengths: second argument of the score, `[B]`.
        target: its third argument, `[B]`.
        options: what else the method takes.
    """
    relevance: Tensor = method.attribute(inputs, additional_forward_args=(lengths, target), **options)
    return relevance
