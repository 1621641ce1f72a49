"""Every drawing consists of what it consisted of when somebody last looked at it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from rudder_lrp.episodes.timeline import Timeline
from rudder_lrp.viewing import comparison
from rudder_lrp.viewing.signals import draw_events, draw_signals
from rudder_lrp.viewing.tensorboard import draw_timeline
from tests.viewing.parts import parts

PICTURES = Path(__file__).parent / "pictures"


def played(images: bool = True) -> Timeline:
    """Four steps, two of them paid; seven parts, more than are shown."""
    relevance = np.outer([0.1, -2.0, 1.0, 0.5], [1.0, 0.5, -0.25, 0.0, 2.0, 0.125, 0.0625, -1.0])
    rewards = np.array([0.0, 1.0, 0.0, relevance.sum() - 1.0])
    seen = np.linspace(0.0, 1.0, 16).reshape(4, 2, 2)
    return Timeline(
        rewards,
        relevance.sum(axis=1),
        relevance.sum(axis=1).cumsum(),
        relevance,
        ["x", "y", "speed", "idle", "paid", "height", "bias", "memory"],
        ["up", "down", "up", "down"],
        [(seen, seen - 0.4)] if images else (),
        np.array([0.1, 0.5, 2.0, 0.0]) if images else None,
    )


def timeline_without_reward() -> Figure:
    nothing = np.zeros(3)
    return draw_timeline(Timeline(nothing, nothing, nothing, np.zeros((3, 2)), ["x", "y"], images=()), most_features=1)


def curves() -> Figure:
    """What `draw_curves` has drawn when it saves it."""
    drawn: list[Figure] = []
    runs = [[(1, 0.0), (2, 2.0)], [(1, 1.0), (2, 4.0), (3, 9.0)]]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(comparison.Figure, "savefig", lambda figure, path: drawn.append(figure))
        comparison.draw_curves({"with credit": runs, "without": [[(1, 0.5), (2, 0.25)]]}, "Task", Path("curves.png"))
    return drawn[0]


def signals() -> Figure:
    relevance = np.array([[1.0, 0.0, 0.0], [0.0, -4.0, 0.0], [0.0, 0.5, 0.0]])
    return draw_signals(np.array([[0.0, 1.0, 2.0], [2.0, 3.0, 2.0], [4.0, 5.0, 2.0]]), relevance, title="a flight")


DRAWINGS = {
    "timeline": lambda: draw_timeline(played(), "an episode", most_features=4),
    "timeline_without_images": lambda: draw_timeline(played(images=False)),
    "timeline_without_reward": timeline_without_reward,
    "timeline_without_relevance": lambda: draw_timeline(Timeline(*np.arange(6.0).reshape(3, 2))),
    "curves": curves,
    "signals": signals,
    "named_signals": lambda: draw_signals(np.eye(2), np.zeros((2, 2)), ["speed", "height"], unit="second"),
    "events": lambda: draw_events(["key", "wait", "door"], np.array([0.5, 0.0, -1.0]), "an episode"),
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_drawing_consists_of_what_it_consisted_of(name) -> None:
    assert parts(DRAWINGS[name]()) == (PICTURES / f"{name}.txt").read_text().splitlines()


if __name__ == "__main__":
    for name, drawing in DRAWINGS.items():
        (PICTURES / f"{name}.txt").write_text("\n".join(parts(drawing())) + "\n")
