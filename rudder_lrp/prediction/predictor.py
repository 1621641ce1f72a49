"""The return predictor: features of an episode in, the predicted return at every step out."""

from __future__ import annotations

import math
from enum import StrEnum
from pathlib import Path
from typing import Any, cast

import torch
from gymnasium import spaces
from torch import Tensor, nn

from rudder_lrp.episodes.features import Encoding, RunningNormalizer, TransitionFeatures
from rudder_lrp.lstm import Structure, constrain_, gate_rows
from rudder_lrp.prediction.cells import cell_gates, minimal_states, scan, written
from rudder_lrp.prediction.clock import Clock
from rudder_lrp.prediction.encoder import FeatureEncoder
from rudder_lrp.prediction.predictor_file import KIND, check_made_for, check_values, shape_of
from rudder_lrp.prediction.torch_mode import plain_torch
from rudder_lrp.storage import DamagedFileError, check_tensors, read_tensors, write_tensors

_LONGEST_MEMORY = 200  # steps, at first; training may lengthen it


class Head(StrEnum):
    """The predictions that can be read from the same cells."""

    OUTLOOK = "outlook"
    """The return, as far as it can be foreseen after each step: a step earns what it changed in that, early, yet true
    of the policy alone that went on from there."""
    SHARE = "share"
    """Whatever adds up to the return at the last step: a step earns its share of it, whatever policy comes after
    (return decomposition, Efroni et al. 2021)."""


class ReturnPredictor(nn.Module):
    """An LSTM that predicts, after each step of an episode, how much of its return is outstanding.

    What has been paid is known, so the predicted return is what was paid so far plus what is outstanding; where all
    reward comes at the end, the prediction is that of the return itself. Images pass through a small convolutional
    network first, see `rudder_lrp.prediction.encoder`; beside the features the LSTM sees a clock, see
    `rudder_lrp.prediction.clock`.

    The cells are shared out among *members* that see the same and nothing of each other: the recurrent weights are
    block-diagonal, so that one fused kernel runs them all. Each has a prediction of its own, `m_t = head(h_t)`, on the
    leaky structure and the accumulator `head(c_t)`; the prediction `y_t = readout(h_t)` is their mean, and how far they
    lie apart says how sure it is (deep ensembles, Lakshminarayanan et al. 2017). What is outstanding is
    `mean + scale * y_t`, where mean and scale are those of the lessons it was trained on; before any, the scale is 0
    and nothing is predicted. The readout repeats one of two heads, which are what training changes; see `Head` and
    `rudder_lrp.prediction.training_config.Predicts`.

    Args:
        features: the encoding of transitions that the inputs come from.
        structure: which connections the LSTM has, see `rudder_lrp.lstm`.
        hidden_size: number of cells, of all members together.
        members: number K of members.
        clock: number of frequencies of the clock, 0 for none.
        seed: of the initial weights; the global random state is left alone.

    Raises:
        ValueError: if the cells cannot be shared out evenly.
    """

    return_mean: Tensor
    return_scale: Tensor
    own_cells: Tensor
    seed: Tensor
    reading: Tensor
    calibration: Tensor
    """Of the error bars: how much farther the members' mean lies from what comes than they do from each other."""

    @plain_torch()
    def __init__(
        self,
        features: TransitionFeatures,
        structure: Structure | str = Structure.MINIMAL,
        hidden_size: int = 64,
        members: int = 4,
        clock: int = 10,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if members < 1 or hidden_size % members:
            raise ValueError(f"{hidden_size} cells cannot be shared out evenly among {members} members")
        self.features = features
        self.structure = Structure(structure)
        self.members = members
        self.normalizer = RunningNormalizer(len(features))
        self.clock = Clock(clock)
        own = torch.eye(members).repeat_interleave(hidden_size // members, dim=1)
        self.register_buffer("own_cells", own, persistent=False)
        # As buffers, so that whoever takes over the weights goes on with the same head and the same fresh weights.
        self.register_buffer("seed", torch.tensor(seed))
        self.register_buffer("reading", torch.tensor(0))
        self.register_buffer("calibration", torch.tensor(1.0, dtype=torch.float64))
        with torch.random.fork_rng(devices=[]):
            self.encoder = FeatureEncoder(len(features), features.images)
            self.lstm = nn.LSTM(self.encoder.out_features + self.clock.out_features, hidden_size, batch_first=True)
            self.heads = nn.ModuleDict({head: nn.Linear(hidden_size, members) for head in Head})
            self.readout = nn.Linear(hidden_size, 1).requires_grad_(False)
        self.reset_()
        self.register_buffer("return_mean", torch.zeros((), dtype=torch.float64))
        self.register_buffer("return_scale", torch.zeros((), dtype=torch.float64))

    @classmethod
    def for_spaces(
        cls,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        *,
        encoding: Encoding | str = Encoding.FULL,
        **options: Any,
    ) -> ReturnPredictor:
        """Build a predictor for the transitions of an environment with these spaces.

        Raises:
            TypeError: if a space is not supported.
        """
        return cls(TransitionFeatures(observation_space, action_space, encoding), **options)

    @property
    def device(self) -> torch.device:
        """Where the network computes; see `move_`."""
        return self.readout.weight.device

    def move_(self, device: torch.device) -> ReturnPredictor:
        """Move the network, in place; what undoes the normalisation of returns stays on the CPU, in float64.

        Features may be on any device, predictions `[...]` in return units are on the CPU, and all others where the
        network is.
        """
        if device == self.device:
            return self
        for module in (self.clock, self.encoder, self.lstm, self.heads, self.readout):
            module.to(device)
        self.normalizer.move_(device)
        self.own_cells = self.own_cells.to(device)
        return self

    def reset_(self, times: int = 0) -> None:
        """Draw all weights anew, the same ones on every device; the normalisation of features and return stays.

        Args:
            times: how often that was done before, so that the weights are others each time.
        """
        device = self.device
        self.move_(torch.device("cpu"))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(self.seed) + 1_000_003 * times)
            for module in (self.encoder, self.lstm, self.heads):
                for part in module.modules():
                    if isinstance(part, nn.LSTM | nn.Linear | nn.Conv2d):
                        part.reset_parameters()
            self._initialise()
        self.move_(device)

    def _initialise(self) -> None:
        i, f, _, _ = gate_rows(self.lstm.hidden_size)
        bias = self.lstm.get_parameter("bias_ih_l0")
        with torch.no_grad():
            for head in self.heads.values():
                cast(Tensor, head.bias).zero_()
                cast(Tensor, head.weight).mul_(0.1 * self.members**0.5)
            bias.zero_()
            self.lstm.get_parameter("bias_hh_l0").zero_()
            if self.structure in (Structure.OUTPUT_GATED, Structure.ACCUMULATOR):
                # Nothing is ever forgotten, so write little at first: the sum over hundreds of steps stays near 0.
                bias[i] = -3.0
            else:
                # Chrono initialisation (Tallec and Ollivier 2018): cells that remember 2 to so many steps, writing the
                # less the longer; evenly over the orders of magnitude, for most of what a return depends on is recent.
                bias[f] = torch.empty_like(bias[f]).uniform_(0.0, math.log(_LONGEST_MEMORY - 1.0))
                bias[i] = -bias[f]
        self.constrain_()
        self.read_with_(Head.OUTLOOK)

    def constrain_(self) -> None:
        """Put the weights back on the structure, and the members apart, after an update."""
        constrain_(self.lstm, self.structure)
        if self.members == 1:
            return
        with torch.no_grad():
            if self.structure.recurrent:
                together = self.own_cells.T @ self.own_cells
                self.lstm.get_parameter("weight_hh_l0").mul_(together.repeat(4, 1))
            for head in self.heads.values():
                cast(Tensor, head.weight).mul_(self.own_cells)

    def inputs(self, features: Tensor) -> Tensor:
        """What the LSTM takes of episodes from their first step on: features `[..., T, F]`, encoded, and the clock."""
        return self.with_clock(cast(Tensor, self.encoder(self.normalizer(features.to(self.device)))))

    def with_clock(self, encoded: Tensor) -> Tensor:
        """Add the clock to encoded features `[..., T, F]`, see `inputs`."""
        read = self.clock(torch.arange(encoded.shape[-2], device=encoded.device)).to(encoded.dtype)
        return torch.cat([encoded, read.expand(*encoded.shape[:-1], -1)], dim=-1)

    def forward(self, features: Tensor) -> Tensor:
        """Predict from features `[B, T, F]` what is outstanding after each step, normalised, `[B, T]`."""
        return cast(Tensor, self.readout(self.states(features))[..., 0])

    def states(self, features: Tensor) -> Tensor:
        """What readout and heads read after each step of features `[B, T, F]`: hidden or cell states, `[B, T, H]`."""
        inputs = self.inputs(features)
        if self.structure is Structure.MINIMAL:
            return minimal_states(self.lstm, inputs)
        if self.structure is Structure.ACCUMULATOR:
            return written(self.lstm, inputs).cumsum(dim=1)
        outputs: Tensor = self.lstm(inputs)[0]
        if not self.structure.reads_cell:
            return outputs
        before = torch.cat([torch.zeros_like(outputs[:, :1]), outputs[:, :-1]], dim=1)
        i, f, g = cell_gates(self.lstm, inputs, before)
        return scan(f, i * g)

    def read_with_(self, head: Head) -> None:
        """From now on, predict what a head predicts, in the mean over its members."""
        self.reading.fill_(list(Head).index(head))
        with torch.no_grad():
            self.readout.weight.copy_(cast(Tensor, self.heads[head].weight).mean(dim=0, keepdim=True))
            self.readout.bias.copy_(cast(Tensor, self.heads[head].bias).mean(dim=0, keepdim=True))

    @property
    def reads(self) -> Head:
        """The head that is read."""
        return list(Head)[int(self.reading)]

    def changes(self, predictions: Tensor) -> Tensor:
        """What each step changed in predictions `[B, T]`; the first one, against the bias of the readout."""
        return torch.diff(predictions, dim=1, prepend=self.readout.bias.expand(len(predictions), 1))

    def member_changes(self, features: Tensor, head: Head | None = None) -> Tensor:
        """What each step changed in the prediction of each member, from features `[B, T, F]`: `[B, T, K]`."""
        read = self.heads[head or self.reads]
        if self.structure is Structure.ACCUMULATOR:  # what it adds, with no sum to take apart again
            return nn.functional.linear(written(self.lstm, self.inputs(features)), cast(Tensor, read.weight))
        predictions = read(self.states(features))
        return torch.diff(predictions, dim=1, prepend=cast(Tensor, read.bias).expand(len(predictions), 1, -1))

    @property
    def input_names(self) -> list[str]:
        """Names of all that is seen: the features, and the clock if there is one."""
        return [*self.features.names, *(["clock"] if self.clock.out_features else [])]

    @property
    def expected_return(self) -> float:
        """The return predicted before anything has happened: that of the readout's bias alone."""
        return float(self.in_return_units(self.readout.bias.detach()))

    def in_return_units(self, predictions: Tensor) -> Tensor:
        """Undo the normalisation of predictions `[...]`; float64, for returns may be large beside what they vary by."""
        return self.return_mean + self.return_scale * predictions.cpu().double()

    def rescale_(self, mean: float, scale: float) -> None:
        """Change the normalisation of the return and keep every prediction (van Hasselt et al. 2016, Pop-Art).

        The first time nothing has been predicted yet, and nothing is to be kept: the weights stay as they are.
        """
        if self.return_scale:
            ratio, shift = float(self.return_scale) / scale, (float(self.return_mean) - mean) / scale
            with torch.no_grad():
                for readout in (self.readout, *self.heads.values()):
                    cast(Tensor, readout.weight).mul_(ratio)
                    cast(Tensor, readout.bias).mul_(ratio).add_(shift)
        self.return_mean.fill_(mean)
        self.return_scale.fill_(scale)

    def save(self, path: str | Path) -> Path:
        """Write weights, normalisation and the spaces' descriptions to one safetensors file, atomically."""
        header = {
            "structure": self.structure.value,
            "hidden_size": self.lstm.hidden_size,
            "members": self.members,
            "clock": len(self.clock.rates),
            "encoding": self.features.encoding.value,
            "observation_space": repr(self.features.observation_space),
            "action_space": repr(self.features.action_space),
        }
        return write_tensors(path, self.state_dict(), KIND, header)

    @classmethod
    def load(
        cls, path: str | Path, observation_space: spaces.Space[Any], action_space: spaces.Space[Any]
    ) -> ReturnPredictor:
        """Read a predictor that was saved for these spaces; nothing is unpickled.

        Raises:
            FileNotFoundError: if there is no such file.
            DamagedFileError: if the file is not as it was written, or says what cannot be.
            ValueError: if the file is of another kind or version, or made for other spaces.
        """
        tensors, header = read_tensors(path, KIND)
        check_made_for(path, header, observation_space, action_space)
        cells, members, clock = shape_of(path, header, tensors)
        try:
            features = TransitionFeatures(observation_space, action_space, header.get("encoding", ""))
            predictor = cls(features, header.get("structure", ""), cells, members, clock)
        except ValueError as error:
            raise DamagedFileError(f"the header of {path} is damaged: {error}; restore it or train anew") from error
        check_tensors(path, tensors, predictor.state_dict())
        check_values(path, tensors, heads=len(Head), weights=dict(predictor.named_parameters()))
        predictor.load_state_dict(tensors)
        return predictor
