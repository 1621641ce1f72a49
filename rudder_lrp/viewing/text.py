"""Words coloured by their relevance, as HTML and for a terminal: red speaks for the output, blue against it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

_FOR, _AGAINST = (214, 39, 40), (31, 119, 180)


def words_as_html(words: Sequence[str], relevance: Sequence[float], title: str = "") -> str:
    """One paragraph; each word carries its number as a tooltip, so that colour is not needed to read it.

    Args:
        words: of one text.
        relevance: a number for each word; colours are scaled by the largest absolute one.
        title: what stands before it.

    Raises:
        ValueError: if there is not one number a word.
    """
    spans = [
        f'<span title="{value:+.3g}" style="background:rgba({_rgb(share)},{abs(share):.2f})">{escape(word)}</span>'
        for word, value, share in zip(words, relevance, _shares(words, relevance), strict=True)
    ]
    heading = f"<b>{escape(title)}</b> " if title else ""
    return f'<p style="font-family:sans-serif;line-height:1.8">{heading}{" ".join(spans)}</p>'


def page_of_words(paragraphs: Sequence[str], title: str) -> str:
    """A whole page of `words_as_html`, readable alone."""
    legend = words_as_html(["for the output", "against it"], [1.0, -1.0], "Colours:")
    body = "\n".join([f"<h1>{escape(title)}</h1>", legend, *paragraphs])
    head = f'<head><meta charset="utf-8"><title>{escape(title)}</title></head>'
    return f"<!doctype html><html>{head}<body>\n{body}\n</body></html>\n"


def words_for_terminal(words: Sequence[str], relevance: Sequence[float]) -> str:
    """One line in 24-bit colours, strong words with their sign.

    Raises:
        ValueError: if there is not one number a word.
    """
    return " ".join(_painted(word, share) for word, share in zip(words, _shares(words, relevance), strict=True))


def _painted(word: str, share: float) -> str:
    shade = ";".join(str(round(255 + (part - 255) * abs(share))) for part in (_FOR if share > 0 else _AGAINST))
    mark = "" if abs(share) < 0.5 else "+" if share > 0 else "-"
    return f"\x1b[30;48;2;{shade}m{word}{mark}\x1b[0m"


def _shares(words: Sequence[str], relevance: Sequence[float]) -> list[float]:
    if len(words) != len(relevance):
        raise ValueError(
            f"there must be one number a word, got {len(words)} words and {len(relevance)} numbers; cut them"
        )
    largest = max((abs(float(value)) for value in relevance), default=0.0)
    return [float(value) / largest if largest else 0.0 for value in relevance]


def _rgb(share: float) -> str:
    return ",".join(map(str, _FOR if share > 0 else _AGAINST))
