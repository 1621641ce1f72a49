"""Sentiment classifiers as people write them, and their training."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from studies.text.corpus import Sentence, Vocabulary


class SentimentClassifier(nn.Module):
    """Embedding, a recurrent layer, a linear head on its final states: above zero means praise."""

    def __init__(self, words: int, cell: str = "LSTM", *, both: bool = True, width: int = 64, hidden: int = 60) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, width, padding_idx=0)
        self.dropout = nn.Dropout(0.5)
        self.core = getattr(nn, cell)(width, hidden, batch_first=True, bidirectional=both)
        self.head = nn.Linear(hidden * (2 if both else 1), 1)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits `[B, 1]` of token numbers `[B, T]`, padded with zeros."""
        lengths = (tokens != 0).sum(1).clamp(min=1)
        vectors = self.dropout(self.embedding(tokens))
        packed = pack_padded_sequence(vectors, lengths.cpu(), batch_first=True, enforce_sorted=False)
        final = self.core(packed)[1]
        states = final[0] if isinstance(final, tuple) else final
        return self.head(self.dropout(states.transpose(0, 1).flatten(1)))


@dataclass(frozen=True)
class Recipe:
    """A model and how it is trained."""

    cell: str
    both: bool
    epochs: int = 8
    rate: float = 2e-3
    batch: int = 64
    decay: float = 1e-5


def train(
    recipe: Recipe, training: list[Sentence], held_out: list[Sentence], seed: int
) -> tuple[SentimentClassifier, Vocabulary]:
    """Train, and keep the weights of the epoch that does best on the sentences held out."""
    torch.manual_seed(seed)
    vocabulary = Vocabulary(training)
    model = SentimentClassifier(len(vocabulary), recipe.cell, both=recipe.both)
    optimizer = torch.optim.Adam(model.parameters(), lr=recipe.rate, weight_decay=recipe.decay)
    best, kept = 0.0, deepcopy(model.state_dict())
    for _ in range(recipe.epochs):
        model.train()
        for rows in torch.randperm(len(training)).split(recipe.batch):
            batch = [training[row] for row in rows]
            logits = model(vocabulary.encode(sentence.words for sentence in batch))[:, 0]
            loss = nn.functional.binary_cross_entropy_with_logits(logits, _labels(batch))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        reached = accuracy(model, vocabulary, held_out)
        if reached > best:
            best, kept = reached, deepcopy(model.state_dict())
    model.load_state_dict(kept)
    return model.eval(), vocabulary


def _labels(batch: list[Sentence]) -> Tensor:
    return torch.tensor([float(sentence.positive) for sentence in batch])


@torch.no_grad()
def logits_of(model: SentimentClassifier, vocabulary: Vocabulary, texts: list[tuple[str, ...]]) -> Tensor:
    """Logits `[N]`, in evaluation."""
    model.eval()
    parts = [texts[at : at + 256] for at in range(0, len(texts), 256)]
    return torch.cat([model(vocabulary.encode(part))[:, 0] for part in parts])


def accuracy(model: SentimentClassifier, vocabulary: Vocabulary, batch: list[Sentence]) -> float:
    """Share of sentences classified rightly."""
    logits = logits_of(model, vocabulary, [sentence.words for sentence in batch])
    return float(((logits > 0) == (_labels(batch) > 0)).float().mean())
