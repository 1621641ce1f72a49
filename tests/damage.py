"""What may happen to a file on a disk."""

from __future__ import annotations

from hypothesis import strategies as st


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """The same bytes with one bit flipped, or cut off somewhere."""
    at = draw(st.integers(0, len(whole) - 1))
    if not draw(st.booleans()):
        return whole[:at]
    changed = bytearray(whole)
    changed[at] ^= 1 << draw(st.integers(0, 7))
    return bytes(changed)
