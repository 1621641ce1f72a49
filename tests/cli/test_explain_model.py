"""`rudder-lrp explain --model ... --data ...`: somebody's model from the shell."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest
import torch

from rudder_lrp.cli.main import main
from rudder_lrp.lrp import LRP
from tests.lrp.test_archive import TOKENS, Last, Small, signals


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> None:
    """An empty one but for the data."""
    np.savez(tmp_path / "tokens.npz", inputs=TOKENS.numpy())
    np.savez(tmp_path / "signals.npz", inputs=np.linspace(-1.0, 1.0, 40).reshape(2, 5, 4), target=np.array([0, 1]))
    monkeypatch.chdir(tmp_path)


def numbers(line: str) -> list[float]:
    return [float(number) for number in re.findall(r"[-+]?\d+\.?\d*(?:e[-+]\d+)?", line)]


def test_the_table_holds_the_strongest_inputs_and_the_balance_is_the_models_output(tmp_path, capsys) -> None:
    arguments = "explain --model tests.lrp.test_archive:Small --data tokens.npz --target 1 --example 1 --top 2"
    assert main(arguments.split(" ")) == 0
    balance, _, first, second, picture = capsys.readouterr().out.splitlines()
    relevance = LRP(Small()).attribute(TOKENS, 1)[1]
    order = relevance.abs().argsort(descending=True)
    for line, at in ((first, order[0]), (second, order[1])):
        assert numbers(line) == pytest.approx([at, TOKENS[1, at], float(relevance[at])], rel=1e-3)
    assert "example 1 of 2: output" in balance
    assert numbers(balance)[2] == pytest.approx(Small().eval()(TOKENS)[1, 1].item(), rel=1e-3)
    assert re.search(r" = .*biases [-+]", balance)
    assert not set(balance) & set("_X"), "accounts are said in words"
    assert picture == "picture: explanation.png"
    assert (tmp_path / "explanation.png").stat().st_size > 1000


def test_a_program_is_explained_on_signals_by_any_rule(tmp_path, capsys) -> None:
    x = torch.zeros(2, 5, 4, dtype=torch.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of PyTorch about its own recurrent layers
        torch.export.save(torch.export.export(signals().eval(), (x,)), tmp_path / "model.pt2")
    arguments = ["explain", "--model", "model.pt2", "--data", "signals.npz", "--output", "own.png", "--rule"]
    for rule in ("half", "all"):
        assert main([*arguments, rule]) == 0
        strongest = numbers(capsys.readouterr().out.splitlines()[2])
        x = torch.linspace(-1.0, 1.0, 40, dtype=torch.float64).view(2, 5, 4)
        relevance = LRP(signals(), rule=rule).attribute(x, torch.tensor([0, 1]))[0]
        at = int(relevance.abs().argmax())
        assert strongest == pytest.approx(
            [at // 4, at % 4, x[0].flatten()[at].item(), relevance.flatten()[at].item()], rel=1e-3
        )
    assert (tmp_path / "own.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--data tokens.npz", "there are data but no model; give --model"),
        ("--model a.pth --data tokens.npz", "executes what it brings"),
        ("--model tests.lrp.test_archive:Small --data tokens.npz --target 1 --example 2", "between 0 and 1, got 2"),
        ("--model tests.lrp.test_archive:Small --data tokens.npz --target 1 --example -1", "between 0 and 1, got -1"),
        ("--model tests.lrp.test_archive:Small --data tokens.npz --target 4", "target must be a tuple (0 to 1)"),
        ("--model tests.cli.test_explain_model:Refused --data signals.npz", "relevance would have to pass cumprod"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence_and_nothing_is_written(arguments, message, tmp_path, capsys) -> None:
    assert main(["explain", *arguments.split()]) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert out == ""
    assert {path.name for path in tmp_path.iterdir()} == {"tokens.npz", "signals.npz"}


class Refused(Last):
    def __init__(self) -> None:
        super().__init__()
        self.double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.cumprod(1))
