"""Pictures of explanations: all that has to be read is in them, and what does not fit is refused."""

from __future__ import annotations

import numpy as np
import pytest

from rudder_lrp.viewing.signals import draw_events, draw_signals
from rudder_lrp.viewing.text import page_of_words, words_as_html, words_for_terminal


def test_words_carry_colour_and_number() -> None:
    html = words_as_html(["not", "<good>"], [-0.5, 1.0], "logit")
    assert 'title="-0.5" style="background:rgba(31,119,180,0.50)">not<' in html
    assert 'title="+1" style="background:rgba(214,39,40,1.00)">&lt;good&gt;<' in html
    assert html.count("<p") == 1


def test_a_page_of_words_says_its_title_and_what_its_colours_mean() -> None:
    legend = words_as_html(["for the output", "against it"], [1.0, -1.0], "Colours:")
    assert page_of_words(["<p>one</p>", "<p>two</p>"], "A & B") == (
        '<!doctype html><html><head><meta charset="utf-8"><title>A &amp; B</title></head><body>\n'
        f"<h1>A &amp; B</h1>\n{legend}\n<p>one</p>\n<p>two</p>\n</body></html>\n"
    )


def test_a_paragraph_of_no_words_holds_its_title_alone() -> None:
    assert words_as_html([], []).endswith('line-height:1.8"></p>')
    assert words_as_html([], [], "Empty").endswith('line-height:1.8"><b>Empty</b> </p>')
    assert words_for_terminal([], []) == ""


def test_words_in_a_terminal_can_be_told_apart_without_colour() -> None:
    line = words_for_terminal(["bad", "but", "great"], [-1.0, 0.0, 0.8])
    assert "bad-\x1b[0m" in line
    assert "great+\x1b[0m" in line
    assert "48;2;255;255;255mbut\x1b[0m" in line


def test_no_relevance_has_no_colour() -> None:
    assert "0.00)" in words_as_html(["word"], [0.0])


def test_signals_share_one_scale_of_relevance() -> None:
    relevance = np.array([[1.0, 0.0], [0.0, -4.0], [0.0, 0.0]])
    figure = draw_signals(np.arange(6.0).reshape(3, 2), relevance, ["speed", "height"], "a flight")
    first, second, bar = figure.axes
    assert [first.get_ylabel(), second.get_ylabel(), bar.get_ylabel()] == ["speed", "height", "relevance"]
    assert first.images[0].get_clim() == second.images[0].get_clim() == (-4.0, 4.0)
    assert second.lines[0].get_ydata().tolist() == [1.0, 3.0, 5.0]


def test_a_constant_signal_without_relevance_can_be_drawn() -> None:
    draw_signals(np.ones((4, 1)), np.zeros((4, 1))).canvas.draw()


def test_events_have_bars_with_numbers_from_the_top() -> None:
    axis = draw_events(["key", "door"], np.array([0.5, -1.0]), "an episode").axes[0]
    assert [text.get_text() for text in axis.texts] == ["+0.5", "-1"]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["key", "door"]
    assert axis.yaxis_inverted()


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="one number a word, got 2 words and 1 numbers"):
        words_as_html(["a", "b"], [1.0])
    with pytest.raises(ValueError, match="one relevance a value"):
        draw_signals(np.zeros((3, 2)), np.zeros((2, 3)))
    with pytest.raises(ValueError, match="one relevance a value"):
        draw_events(["a"], np.zeros(2))
