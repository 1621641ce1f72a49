"""Pages that say what was measured: tables between markers, and numbers within sentences."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def fill(text: str, blocks: Mapping[str, str]) -> str:
    """Replace what stands between `<!-- NAME -->` and `<!-- end -->` by the block of that name.

    Raises:
        ValueError: if the page has no place for a block.
    """
    for name, block in blocks.items():
        pattern = rf"<!-- {re.escape(name)} -->\n.*?<!-- end -->"
        text, found = re.subn(pattern, lambda _, b=block, n=name: f"<!-- {n} -->\n{b}\n<!-- end -->", text, flags=re.S)
        if found != 1:
            raise ValueError(f"the page has {found} places for {name!r}; put `<!-- {name} -->` and `<!-- end -->` once")
    return text


def restate(text: str, sentence: str, *numbers: object) -> str:
    """Put numbers into the holes `{}` of a sentence that the page says, wherever its lines break.

    Raises:
        ValueError: if the page does not say the sentence, or says it more than once.
    """
    parts = [r"\s+".join(map(re.escape, part.split(" "))) for part in sentence.split("{}")]
    found = list(re.finditer(r"(\S+?)".join(parts), text))
    if len(found) != 1:
        raise ValueError(f"the page says {sentence!r} {len(found)} times; once is needed, to put its numbers in")
    said, at = [], 0
    for hole, number in enumerate(numbers, start=1):
        said += [text[at : found[0].start(hole)], str(number)]
        at = found[0].end(hole)
    return "".join(said) + text[at:]
