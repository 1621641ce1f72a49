"""Whole models: all that the model's own output is made of is accounted for."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rudder_lrp.lrp import LRP
from rudder_lrp.lrp.rules import GATE_RULES
from tests.lrp.whole_models import ALL, CELLS, CLASSES, POOLINGS, Classifier, tokens_of


@pytest.mark.parametrize(("cell", "pooling", "norm", "deep"), ALL)
def test_the_ledger_of_an_ordinary_classifier_sums_to_its_own_output(cell, pooling, norm, deep) -> None:
    model = Classifier(cell, pooling, norm, deep)
    tokens, target = tokens_of([7, 3, 5, 1]), torch.tensor([0, 2, 1, 0])
    relevance, ledger = LRP(model).attribute(tokens, target, return_ledger=True)
    y = model.eval()(tokens).gather(1, target[:, None])[:, 0]
    assert relevance.shape == tokens.shape
    assert (ledger.total() - y).abs().max() < 1e-8
    torch.testing.assert_close(ledger.inputs, relevance.sum(1), rtol=0, atol=1e-9)
    assert not relevance[tokens == 0].any()
    assert relevance.any(1).all()


@settings(max_examples=60)
@given(
    model=st.tuples(st.sampled_from(list(CELLS)), st.sampled_from(POOLINGS), st.booleans(), st.booleans()),
    seed=st.integers(0, 1000),
    packed=st.booleans(),
    first=st.booleans(),
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    rule=st.sampled_from(list(GATE_RULES)),
    target=st.integers(0, CLASSES - 1),
)
def test_the_ledger_sums_to_the_output_whatever_the_grammar_makes(
    model, seed, packed, first, lengths, rule, target
) -> None:
    model = Classifier(*model, seed, packed=packed, first=first)
    tokens = tokens_of(lengths, seed)
    relevance, ledger = LRP(model, rule=rule, eps=0.05).attribute(tokens, target, return_ledger=True)
    y = model.eval()(tokens)[:, target]
    scale = max(1.0, float(relevance.abs().max()))
    assert (ledger.total() - y).abs().max() <= 1e-8 * scale
    assert (ledger.inputs - relevance.sum(1)).abs().max() <= 1e-9 * scale
    plain = LRP(model, rule=rule, eps=0.05).attribute(tokens, target)
    torch.testing.assert_close(plain, relevance, rtol=1e-9, atol=1e-9 * scale)
