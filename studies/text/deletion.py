"""Deleting words in the order of their relevance (Arras et al. 2017): whether decisions follow explanations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from studies.text.classifier import SentimentClassifier, logits_of
from studies.text.corpus import Sentence, Vocabulary

DELETIONS = 5
"""Words deleted at most, from sentences of at least twice as many."""


@dataclass(frozen=True)
class Curves:
    """Share classified rightly after 0 to `DELETIONS` words are deleted, by the side that they were on at first."""

    falling: list[float]
    """Sentences classified rightly, the words that speak most for their class deleted first."""
    rising: list[float]
    """Sentences classified wrongly, the words that speak most against their class deleted first."""

    @property
    def area(self) -> float:
        """Mean fall on the first and mean rise on the second, added: the area between the two and where they began."""
        return float(np.mean(1.0 - np.array(self.falling[1:])) + np.mean(self.rising[1:]))


def long_enough(batch: list[Sentence]) -> list[Sentence]:
    """Sentences that have words to spare."""
    return [sentence for sentence in batch if len(sentence.words) >= 2 * DELETIONS]


def curves(model: SentimentClassifier, vocabulary: Vocabulary, batch: list[Sentence], relevance: Tensor) -> Curves:
    """Delete by relevance `[N, T]` for praise, padded, of sentences that are long enough."""
    texts = [sentence.words for sentence in batch]
    wanted = torch.tensor([sentence.positive for sentence in batch])
    right = (logits_of(model, vocabulary, texts) > 0) == wanted
    speaks_for = torch.where(wanted[:, None], relevance, -relevance)
    # Most for the class first where it was right, most against it first where it was wrong.
    order = torch.where(right[:, None], -speaks_for, speaks_for)
    rows = [part[: len(words)].argsort(stable=True).tolist() for part, words in zip(order, texts, strict=True)]
    shares = []
    for count in range(DELETIONS + 1):
        left = [_without(words, row[:count]) for words, row in zip(texts, rows, strict=True)]
        shares.append((logits_of(model, vocabulary, left) > 0) == wanted)
    falling, rising = ([float(share[rows_].float().mean()) for share in shares] for rows_ in (right, ~right))
    return Curves(falling, rising)


def _without(words: tuple[str, ...], deleted: list[int]) -> tuple[str, ...]:
    gone = set(deleted)
    return tuple(word for at, word in enumerate(words) if at not in gone)
