"""Explain somebody's model on data from a file: what its output is made of, the strongest inputs, a picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from rudder_lrp.lrp.archive import Explained, explain_file
from rudder_lrp.viewing.signals import draw_events, draw_signals


def explain_model(
    model: str, data: Path, target: tuple[int, ...], rule: str, example: int, output: Path, top: int
) -> None:
    """Explain all examples of the data; draw and print one of them.

    Args:
        model: a `.pt2` file or `module:factory`.
        data: an `.npz` file with `inputs`.
        target: index of the output; empty for the file's, or the only one.
        rule: how gated products share relevance.
        example: which one is shown.
        output: where the picture goes.
        top: rows of the table.

    Raises:
        ValueError: if model and data do not fit, or there is no such example; nothing is written then.
        NotImplementedError: if the model holds an operation that relevance would have to pass and that has no rule.
    """
    found = explain_file(model, data, target or None, rule=rule)
    if not 0 <= example < len(found.inputs):
        raise ValueError(f"example must lie between 0 and {len(found.inputs) - 1}, got {example}; choose one of these")
    inputs, relevance = found.inputs[example].numpy(), found.relevance[example].numpy()
    figure = _drawn(inputs, relevance, f"{Path(model).name}, example {example}")
    print(f"example {example} of {len(found.inputs)}: {_balance(found, example)}")
    print("\n".join(_table(inputs, relevance, top)))
    figure.savefig(output)
    print(f"picture: {output}")


def _balance(found: Explained, example: int) -> str:
    accounts = found.ledger.accounts()
    parts = ", ".join(f"{name.replace('_', ' ')} {float(part[example]):+.4g}" for name, part in accounts.items())
    return f"output {float(found.ledger.total()[example]):+.4g} = {parts}"


def _drawn(inputs: np.ndarray, relevance: np.ndarray, title: str) -> Figure:
    """Signals `[T, F]`; tokens, or features without time, as events."""
    if inputs.ndim == 1:
        return draw_events([f"{value:g}" for value in inputs], relevance, title)
    if inputs.ndim != 2:
        raise ValueError(f"inputs must be [B, T] or [B, T, F], got {inputs.ndim + 1} dimensions; flatten some of them")
    return draw_signals(inputs, relevance, title=title)


def _table(inputs: np.ndarray, relevance: np.ndarray, top: int) -> Iterator[str]:
    """The inputs of most relevance, whichever its sign."""
    yield f"{'step':>5} {'feature':>7} {'input':>10} {'relevance':>10}"
    for flat in np.argsort(-np.abs(relevance), axis=None, kind="stable")[:top]:
        step, *feature = (int(at) for at in np.unravel_index(flat, relevance.shape))
        where = f"{step:>5} {feature[0] if feature else '':>7}"
        yield f"{where} {inputs[step, *feature]:>10.4g} {relevance[step, *feature]:>+10.4g}"
