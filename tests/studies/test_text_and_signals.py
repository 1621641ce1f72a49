"""The studies' own parts: what is read, split, deleted and measured; the data themselves are not needed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rudder_lrp.attribution import as_captum
from rudder_lrp.lrp import LRP
from studies.pieces import kept
from studies.randomisation import cascade
from studies.signals import japanese_vowels
from studies.signals.hidden_markov import LastStep, StateClassifier, predictions, states_before
from studies.signals.measures import last_step
from studies.text import tables
from studies.text.classifier import SentimentClassifier
from studies.text.corpus import Sentence, Vocabulary, folds, parse
from studies.text.deletion import curves
from studies.text.study import explained


def test_sentences_are_read_with_their_rating() -> None:
    found = list(parse("1\t2.5\tIt's GOOD, really.\n2\t-0.1\tToo tepid\n3\t0.0\tNeither\n4\t1\t \n"))
    assert found == [Sentence(("it's", "good", ",", "really", "."), True), Sentence(("too", "tepid"), False)]


def test_the_same_words_never_lie_on_both_sides_of_a_split() -> None:
    corpus = [Sentence((word,), True) for word in "abcdefghij"] + [Sentence(("a",), False)] * 3
    parts = folds(corpus, 4)
    assert sorted(map(len, parts))[0] >= 2
    assert sum(map(len, parts)) == len(corpus)
    assert sum(any(sentence.words == ("a",) for sentence in part) for part in parts) == 1


class Counting(nn.Module):
    """Praise if there are more words 2 than words 3."""

    def forward(self, tokens: Tensor) -> Tensor:
        return ((tokens == 2).sum(1) - (tokens == 3).sum(1) - 0.5)[:, None]


def test_words_that_speak_for_the_class_go_first_where_it_was_right_and_against_it_where_it_was_wrong() -> None:
    vocabulary = Vocabulary([], least=1)
    vocabulary.numbers = {"good": 2, "bad": 3, "so": 4}
    words = ("good", "bad", "good", "so", "so", "so", "so", "so", "so", "so")
    batch = [Sentence(words, True), Sentence(words, False)]
    relevance = torch.tensor([[1.0, -1.0, 1.0] + [0.0] * 7]).repeat(2, 1)
    found = curves(Counting(), vocabulary, batch, relevance)  # type: ignore[arg-type]
    assert found.falling == [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    assert found.rising == [0.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    assert found.area == pytest.approx(2.0)
    against = curves(Counting(), vocabulary, batch, -relevance)  # type: ignore[arg-type]
    assert against.falling == [1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    assert against.rising == [0.0, 0.0, 0.0, 0.0, 0.0, 0.0]


def test_sentences_keep_their_places_when_explained_by_length() -> None:
    vocabulary = Vocabulary([Sentence(("a", "b", "c"), True)], least=1)
    texts = [("a", "b", "c"), ("b",), ("c", "a")]
    found = explained(vocabulary, texts, lambda tokens: tokens.float())
    assert found.tolist() == [[2, 3, 4], [3, 0, 0], [4, 2, 0]]
    model = SentimentClassifier(len(vocabulary), "GRU", both=False).eval()
    together = explained(vocabulary, texts, LRP(model).attribute)
    torch.testing.assert_close(together[1, :1], LRP(model).attribute(torch.tensor([[3]]))[0])


def test_intervals_hold_the_mean_and_are_the_same_each_time() -> None:
    low, high = tables.interval([1.0, 2.0, 3.0, 4.0, 5.0])
    assert 1.0 <= low < 3.0 < high <= 5.0
    assert tables.interval([1.0, 2.0, 3.0, 4.0, 5.0]) == (low, high)
    assert tables.interval([2.0, 2.0]) == (2.0, 2.0)


def test_a_random_layer_changes_an_explanation_that_follows_the_model_and_not_one_that_does_not() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 20), nn.Tanh(), nn.Linear(20, 1))
    x = torch.randn(8, 20)
    follows = cascade(model, ["2", "0"], x, lambda model: LRP(model).attribute)
    ignores = cascade(model, ["2", "0"], x, lambda model: lambda x: x)
    assert ignores == {"2": pytest.approx(1.0), "0": pytest.approx(1.0)}
    assert follows["0"] < 0.9


@pytest.mark.parametrize("cell", ["GRU", "LSTM"])
def test_all_steps_at_once_is_what_the_tunnel_finds_at_the_last_input_of_each(cell) -> None:
    tint = pytest.importorskip("tint.attr")
    from captum.attr import InputXGradient

    torch.manual_seed(0)
    model, x = StateClassifier(cell, hidden=6).double().eval(), torch.randn(2, 5, 3, dtype=torch.float64)
    by_tunnel = tint.TimeForwardTunnel(as_captum(LRP(model))).attribute(x, task="binary")
    torch.testing.assert_close(last_step(model)(x), by_tunnel, rtol=0, atol=1e-10)
    gradient = InputXGradient(LastStep(model)).attribute(
        x.requires_grad_(), additional_forward_args=predictions(model, x.detach())
    )
    by_tunnel = tint.TimeForwardTunnel(InputXGradient(model)).attribute(x, task="binary")
    torch.testing.assert_close(gradient, by_tunnel, rtol=0, atol=1e-10)


def test_states_before_a_step_are_those_after_the_one_before() -> None:
    model, x = StateClassifier("LSTM", hidden=4).eval(), torch.randn(2, 5, 3)
    h, c = states_before(model, x)
    assert not h[:, 0].any()
    torch.testing.assert_close(h[:, 1:], model.rnn(x)[0][:, :-1].detach())
    torch.testing.assert_close(c[:, 3], model.rnn(x[:, :3])[1][1][0].detach())


def test_utterances_are_read_and_padded() -> None:
    x, y = japanese_vowels.parse("#about\n@data\n1,2,3:4,5,6:2\n7,8:9,1:9\n")
    assert x.shape == (2, 29, 2)
    assert x[0, :3].tolist() == [[1, 4], [2, 5], [3, 6]]
    assert not x[1, 2:].any()
    assert y.tolist() == [1, 8]


def test_a_finished_piece_is_kept_and_other_settings_make_another(tmp_path) -> None:
    made = []

    def measure() -> dict[str, int]:
        made.append(1)
        return {"times": len(made)}

    assert kept(tmp_path, "piece", {"size": 1}, measure) == {"times": 1}
    assert kept(tmp_path, "piece", {"size": 1}, measure) == {"times": 1}
    assert kept(tmp_path, "piece", {"size": 2}, measure) == {"times": 2}
    assert np.sum(made) == 2
