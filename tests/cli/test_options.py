"""An option of the credit is written once: in the config. Wrapper, command line and page show it by themselves."""

from __future__ import annotations

import inspect
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import pytest

from rudder_lrp import ON_POLICY, REPLAYED, CreditConfig
from rudder_lrp.cli.main import main, read_command
from rudder_lrp.cli.train import Train
from rudder_lrp.sb3 import RedistributedRewardVecEnv

ROOT = Path(__file__).parents[2]


def names(config=CreditConfig, prefix="") -> list[str]:
    """All options, with those of the configs within it."""
    found = []
    for part in fields(config):
        default = getattr(ON_POLICY, part.name) if config is CreditConfig else None
        if is_dataclass(default):
            found += names(type(default), f"{prefix}{part.name}.")
        else:
            found.append(f"{prefix}{part.name}")
    return found


def test_the_wrapper_takes_every_field() -> None:
    assert {part.name for part in fields(CreditConfig)} <= set(inspect.signature(RedistributedRewardVecEnv).parameters)


def test_the_command_line_takes_every_field(capsys) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    shown = capsys.readouterr().out.replace("\n", "")
    for name in names():
        assert f"--redistribution.{name.replace('_', '-')}" in shown


def test_the_page_is_made_from_the_config() -> None:
    page = (ROOT / "docs" / "api" / "learn.md").read_text() + (ROOT / "docs" / "api" / "redistribute.md").read_text()
    assert f"::: {CreditConfig.__module__}" in page


@pytest.mark.parametrize(
    ("algo", "start"), [("PPO", ON_POLICY), ("RecurrentPPO", ON_POLICY), ("SAC", REPLAYED), ("TQC", REPLAYED)]
)
@pytest.mark.parametrize("way", ["--algo {}", "--algo={}"])
def test_the_defaults_are_those_that_suit_the_algorithm_and_one_may_be_changed_alone(algo, start, way) -> None:
    command = read_command(["train", *way.format(algo).split(), "--redistribution.lesson-capacity", "100"])
    assert isinstance(command, Train)
    assert command.agent.redistribution == replace(start, lesson_capacity=100)
