"""Everything measured on sentences: training, deletion curves, cost, randomisation, negation."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rudder_lrp.viewing.text import page_of_words, words_as_html
from studies.randomisation import cascade
from studies.text.classifier import Recipe, SentimentClassifier, accuracy, logits_of, train
from studies.text.corpus import Sentence, Vocabulary, folds
from studies.text.deletion import curves, long_enough
from studies.text.methods import Explain, methods

RECIPES = {"bidirectional LSTM": Recipe("LSTM", both=True), "GRU": Recipe("GRU", both=False)}
PHRASES = ("the film is good", "the film is not good", "the film is bad", "the film is not bad at all")
"""Made up, to see what a negation does."""


@dataclass(frozen=True)
class Settings:
    """How much is measured."""

    parts: int = 10
    """Of the sentences; training number n tests on part 2 n and stops by part 2 n + 1."""
    trainings: int = 5
    sentences: int | None = None
    """Test sentences at most."""
    epochs: int | None = None
    """In place of the recipe's."""


def measure(settings: Settings, name: str, training: int, corpus: list[Sentence], folder: Path) -> dict[str, Any]:
    """One training and all that is explained of it."""
    recipe = RECIPES[name] if settings.epochs is None else Recipe(**asdict(RECIPES[name]) | {"epochs": settings.epochs})
    parts = folds(corpus, settings.parts)
    test, stopping = parts[2 * training], parts[2 * training + 1]
    rest = [sentence for at, part in enumerate(parts) if at // 2 != training for sentence in part]
    start = time.process_time()
    model, vocabulary = train(recipe, rest, stopping, training)
    seconds = time.process_time() - start
    batch = long_enough(test)[: settings.sentences]
    return {
        "model": name,
        "training": training,
        "seconds of training": seconds,
        "accuracy": accuracy(model, vocabulary, test),
        "sentences": len(batch),
        "methods": {method: _deleted(model, vocabulary, batch, of) for method, of in methods(model).items()},
        "randomisation": _randomised(model, vocabulary, batch[:200]),
        "negation": _negation(model, vocabulary),
        "page": _page(model, vocabulary, test, folder / f"{name} {training}.html"),
    }


def _deleted(
    model: SentimentClassifier, vocabulary: Vocabulary, batch: list[Sentence], explain: Explain
) -> dict[str, Any]:
    rows, tokens = in_batches(vocabulary, [sentence.words for sentence in batch])
    explain(tokens[0])  # the first call of a model in a process chooses kernels, whichever method makes it
    start = time.process_time()
    parts = [explain(part) for part in tokens]
    seconds = time.process_time() - start
    found = curves(model, vocabulary, batch, _in_order(rows, parts))
    return {"seconds": seconds, "area": found.area, **asdict(found)}


def explained(vocabulary: Vocabulary, texts: list[tuple[str, ...]], explain: Explain) -> Tensor:
    """Relevance of each word, `[N, T]`, padded with zeros."""
    rows, tokens = in_batches(vocabulary, texts)
    return _in_order(rows, [explain(part) for part in tokens])


def in_batches(vocabulary: Vocabulary, texts: list[tuple[str, ...]]) -> tuple[list[list[int]], list[Tensor]]:
    """Texts of similar length together: which ones, and their tokens `[B, T]`."""
    order = sorted(range(len(texts)), key=lambda at: len(texts[at]))
    rows = [order[start : start + 128] for start in range(0, len(order), 128)]
    return rows, [vocabulary.encode(texts[row] for row in part) for part in rows]


def _in_order(rows: list[list[int]], parts: list[Tensor]) -> Tensor:
    """Relevance of batches in the order of the texts, `[N, T]`, padded with zeros."""
    found = torch.zeros(sum(map(len, rows)), max(part.shape[1] for part in parts))
    for at, part in zip(rows, parts, strict=True):
        found[at, : part.shape[1]] = part.detach().to(found.dtype)
    return found


def _randomised(model: SentimentClassifier, vocabulary: Vocabulary, batch: list[Sentence]) -> dict[str, Any]:
    tokens = vocabulary.encode(sentence.words for sentence in batch)
    return {
        method: cascade(model, ["head", "core", "embedding"], tokens, _explainer(method))
        for method in methods(model)
        if method.startswith("LRP") or method == "gradient x input"
    }


def _explainer(method: str) -> Any:
    def explain(model: nn.Module) -> Explain:
        return methods(model)[method]

    return explain


def _negation(model: SentimentClassifier, vocabulary: Vocabulary) -> dict[str, Any]:
    explain = methods(model)["LRP-all"]
    texts = [tuple(phrase.split()) for phrase in PHRASES]
    logits, relevance = logits_of(model, vocabulary, texts), explained(vocabulary, texts, explain)
    return {
        phrase: {"logit": float(logit), "relevance": row[: len(words)].tolist()}
        for phrase, words, logit, row in zip(PHRASES, texts, logits, relevance, strict=True)
    }


def _page(model: SentimentClassifier, vocabulary: Vocabulary, test: list[Sentence], path: Path) -> str:
    """Draw thirty sentences with a negation; returns the name of the file."""
    chosen = [sentence.words for sentence in test if {"not", "never", "no"} & set(sentence.words)][:30]
    relevance = explained(vocabulary, chosen, methods(model)["LRP-all"])
    logits = logits_of(model, vocabulary, chosen)
    rows = [
        words_as_html(words, row[: len(words)].tolist(), f"{logit:+.2f}")
        for words, row, logit in zip(chosen, relevance, logits.tolist(), strict=True)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page_of_words(rows, "Sentences with a negation: logit for praise, LRP-all"))
    return path.name
