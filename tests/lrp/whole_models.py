"""Recurrent classifiers as people build them, in float64: every combination of what their `forward` is made of."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

CELLS = {"lstm": nn.LSTM, "gru": nn.GRU}
POOLINGS = ("last", "mean", "max", "attention")
VOCABULARY, WIDTH, HIDDEN, CLASSES = 12, 5, 4, 3


class Classifier(nn.Module):
    """Embedding, recurrent layers, LayerNorm on demand, pooling over valid steps, head; token 0 is padding."""

    def __init__(
        self, cell: str, pooling: str, norm: bool, deep: bool, seed: int = 0, *, packed: bool = True, first: bool = True
    ) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.pooling, self.packed, self.first = pooling, packed, first
        self.embedding = nn.Embedding(VOCABULARY, WIDTH, padding_idx=0)
        layers, directions = (2, 2) if deep else (1, 1)
        self.core = CELLS[cell](WIDTH, HIDDEN, layers, batch_first=first, bidirectional=deep, dropout=0.3 * deep)
        self.norm = nn.LayerNorm(HIDDEN * directions) if norm else nn.Identity()
        self.score = nn.Linear(HIDDEN * directions, 1)
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(HIDDEN * directions, CLASSES)
        for name, parameter in self.named_parameters():
            if "norm" in name:
                nn.init.uniform_(parameter, 0.5, 1.5)
        self.double()

    def forward(self, tokens: Tensor) -> Tensor:
        mask = tokens != 0
        lengths = mask.sum(1)
        states, final = self.states(self.embedding(tokens), lengths)
        states = self.dropout(self.norm(states))
        mask = mask[:, : states.shape[1], None]
        if self.pooling == "last":
            pooled = self.norm(final.movedim(0, 1)[:, -self.core.bidirectional - 1 :].flatten(1))
        elif self.pooling == "mean":
            pooled = (states * mask).sum(1) / lengths[:, None]
        elif self.pooling == "max":
            pooled = states.masked_fill(~mask, -1e9).max(1).values
        else:
            weights = self.score(torch.tanh(states)).masked_fill(~mask, -torch.inf).softmax(1)
            pooled = (weights * states).sum(1)
        return self.head(pooled)

    def states(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        x = x if self.first else x.transpose(0, 1)
        if self.packed:
            packed = pack_padded_sequence(x, lengths, batch_first=self.first, enforce_sorted=False)
            states, final = self.core(packed)
            states, _ = pad_packed_sequence(states, batch_first=self.first)
        else:
            states, final = self.core(x)
        final = final[0] if isinstance(final, tuple) else final
        return states if self.first else states.transpose(0, 1), final


ALL = list(product(CELLS, POOLINGS, (False, True), (False, True)))
"""Cell, pooling, LayerNorm, two layers and directions: 32 models."""


def tokens_of(lengths: list[int], seed: int = 0) -> Tensor:
    """Random tokens `[B, T]`, padded with zeros."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(1, VOCABULARY, (len(lengths), max(lengths)), generator=generator)
    return tokens * (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None])
