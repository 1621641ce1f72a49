from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from rudder_lrp.lstm import Structure
from scripts import faithfulness as script
from studies.faithfulness import arithmetic, marked_sum
from studies.faithfulness.measures import METHODS, SEQUENCE_METHODS, correlation, curve, explain_arithmetic, step_scores
from studies.faithfulness.tables import TABLES, results

TRAINING = arithmetic.Training(problems=30, iterations=3)


def test_a_quick_run_writes_everything_and_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = script.Options(True, tmp_path, tmp_path / "page.md")
    blocks = "\n".join(f"<!-- {name} -->\nold\n<!-- end -->" for name in TABLES)
    options.page.write_text(f"# Title\n\n{blocks}\nProse.\n")
    script.run(options)
    kept = (tmp_path / "faithfulness.jsonl").read_text()
    monkeypatch.setattr(script, "measure_arithmetic", None)  # a second measurement would fail
    monkeypatch.setattr(script, "measure_recipe", None)
    script.run(options)
    assert (tmp_path / "faithfulness.jsonl").read_text() == kept
    script.write(options)
    found = results(tmp_path)
    assert set(found["arithmetic"]["addition"]["scores"]) == set(METHODS)
    assert all("captum" in row["versions"] for row in found["rows"])
    page = options.page.read_text()
    assert page.startswith("# Title")
    assert page.endswith("Prose.\n")
    assert "old" not in page
    assert all(f"| {method} |" in page for method in SEQUENCE_METHODS)
    for name in ("arithmetic", "curves", "structures"):
        assert (tmp_path / f"faithfulness_{name}.png").stat().st_size > 5_000


def test_a_quick_run_is_kept_from_the_true_results() -> None:
    with pytest.raises(ValueError, match="the numbers of a quick run mean nothing"):
        script.run(script.Options(quick=True))


@pytest.mark.parametrize("sign", [1, -1])
def test_problems_are_what_they_claim(sign: int) -> None:
    problems = arithmetic.sample((200,), sign, torch.Generator().manual_seed(0))
    assert set(problems.lengths.tolist()) == set(range(4, 11))
    for x, length, (a, b), (n_a, n_b), answer in zip(*(part.tolist() for part in problems), strict=True):
        values = np.array(x)
        assert a < b < length
        assert (values[length:] == 0).all()
        assert (np.abs(values[:length, 0]) >= 0.5).all()
        assert [row.nonzero()[0].tolist() for row in values[:, 1:].T] == [[a], [b]]
        assert values[a, 1] == values[a, 0] == n_a
        assert values[b, 2] == values[b, 0] == n_b
        assert answer == pytest.approx(n_a + sign * n_b)


def test_stacked_networks_predict_as_the_modules_do() -> None:
    problems = arithmetic.sample((20,), 1, torch.Generator().manual_seed(0))
    for parameters in arithmetic.initial_parameters(range(3)):
        lstm, readout = arithmetic.network(parameters)
        expected = [
            readout(lstm(x[None, :n])[0][0, -1]).item() for x, n in zip(problems.inputs, problems.lengths, strict=True)
        ]
        answers = arithmetic.predict(parameters, problems.inputs, problems.lengths)
        assert answers.tolist() == pytest.approx(expected, abs=1e-12)


def test_each_network_trains_as_it_would_alone() -> None:
    together, errors = arithmetic.train(1, range(3), TRAINING)
    alone, error = arithmetic.train(1, range(1, 2), TRAINING)
    torch.testing.assert_close(together[1:2], alone, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(errors[1:2], error, rtol=1e-8, atol=1e-10)
    _, untrained = arithmetic.train(1, range(3), replace(TRAINING, iterations=0))
    assert (errors != untrained).all()


def accumulating_network() -> torch.Tensor:
    """One cell that adds what is marked, exactly but for the curvature of tanh and closed gates."""
    W = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 1e-3, 1e-3], [0.0, 0.0, 0.0]], dtype=torch.float64)
    b = torch.tensor([40.0, 40.0, 0.0, 40.0], dtype=torch.float64)
    return torch.cat([W.flatten(), torch.zeros(4), b, torch.tensor([1e3])]).double()


def test_lrp_of_a_network_that_adds_by_design_is_the_truth() -> None:
    problems = arithmetic.sample((50,), 1, torch.Generator().manual_seed(0))
    relevance = explain_arithmetic("LRP-all", accumulating_network(), problems, eps=1e-12)
    torch.testing.assert_close(relevance, problems.numbers, rtol=1e-5, atol=1e-5)


def test_marked_sums_are_what_they_claim() -> None:
    sums = marked_sum.sample(50, 20, torch.Generator().manual_seed(0))
    value, mark, _ = sums.inputs.unbind(2)
    assert (mark.sum(1) == marked_sum.MARKED).all()
    torch.testing.assert_close(sums.answers, (value * mark).sum(1) / 2)
    assert value.abs().max() <= 1


def exact_network() -> marked_sum.Trained:
    """An accumulator whose cell holds a thousandth of the sum of marked values, up to the curvature of its gates."""
    lstm, readout = torch.nn.LSTM(3, 1, batch_first=True), torch.nn.Linear(1, 1)
    with torch.no_grad():
        for weight in (*lstm.parameters(), *readout.parameters()):
            weight.zero_()
        lstm.weight_ih_l0[0, 1], lstm.bias_ih_l0[0] = 60.0, -30.0
        lstm.bias_ih_l0[[1, 3]] = 40.0
        lstm.weight_ih_l0[2, 0] = 1e-2
        readout.weight.fill_(50.0)
    return marked_sum.Trained(lstm, readout, Structure.ACCUMULATOR)


def test_the_truth_falls_and_rises_as_fast_as_possible() -> None:
    network, sums = exact_network(), marked_sum.sample(30, 15, torch.Generator().manual_seed(0))
    scores = step_scores(sums.deserved, network, sums, removed=6)
    assert scores["correlation"] == pytest.approx(1.0)
    assert scores["marked"] == pytest.approx(1.0)
    assert scores["leak"] < 1e-3
    assert scores["deletion"][0] == pytest.approx(1.0)
    assert scores["deletion"][4:] == pytest.approx([scores["deletion"][4]] * 3, abs=1e-4)
    assert scores["insertion"][4:] == pytest.approx([1.0] * 3, abs=1e-4)
    blind = curve(network, sums.inputs, torch.arange(15).repeat(30, 1), 6, insert=False)
    assert np.mean(blind) > np.mean(scores["deletion"]) + 0.2


def test_correlation_is_pearsons() -> None:
    one, other = torch.randn(2, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert correlation(one, other) == pytest.approx(np.corrcoef(one, other)[0, 1])
    assert correlation(one, torch.ones(40)) == 0.0
