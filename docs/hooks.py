"""Formulas become MathML while the site is built, so that no page needs a script from elsewhere."""

import re
from html import unescape
from typing import Any

from latex2mathml.converter import convert

_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)


def on_page_content(html: str, **_: Any) -> str:
    """Convert every formula of a page; called by MkDocs."""
    return _FORMULA.sub(_mathml, html)


def _mathml(match: re.Match[str]) -> str:
    return convert(unescape(match[3]), display="inline" if match[2] == "(" else "block")
