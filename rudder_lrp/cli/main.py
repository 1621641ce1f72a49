"""`rudder-lrp`: reads the command line, runs a command, and says in one sentence what was wrong.

Exit status: 0, or 2 for a wrong argument, 130 after Ctrl-C, 1 for all else.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Union

import gymnasium as gym
import tyro

import rudder_lrp
from rudder_lrp.cli.agent import AgentConfig
from rudder_lrp.cli.algorithms import learns_from_replay
from rudder_lrp.cli.compare import Compare, compare
from rudder_lrp.cli.explain import Explain, explain
from rudder_lrp.cli.train import Train, train
from rudder_lrp.redistribution.config import ON_POLICY, REPLAYED

Level = Literal["debug", "info", "warning", "error"]
_LEVEL = "--log-level"
_WRONG = (ValueError, TypeError, OSError, ImportError, NotImplementedError, gym.error.Error)
_DESCRIPTION = """Credit assignment for delayed rewards: an agent learns from a reward that is paid where it was earned.

`rudder-lrp compare` shows what that is worth in three minutes. Further options: --version; --log-level debug, info,
warning or error; --tyro-print-completion bash, zsh or tcsh."""


def read_command(arguments: Sequence[str]) -> Train | Explain | Compare:
    """Read the command line; ends the process with status 2 if it cannot be understood."""
    agent = AgentConfig(redistribution=_redistribution(arguments))
    commands: Any = Union[  # noqa: UP007 - built here, because the defaults depend on the algorithm
        Annotated[Train, tyro.conf.subcommand("train", default=Train(agent=agent))],
        Annotated[Explain, tyro.conf.subcommand("explain", default=Explain())],
        Annotated[Compare, tyro.conf.subcommand("compare", default=Compare(agent=agent))],
    ]
    found: Train | Explain | Compare = tyro.cli(
        commands,
        prog="rudder-lrp",
        description=_DESCRIPTION,
        args=list(arguments),
        config=(tyro.conf.EnumChoicesFromValues,),
    )
    return found


def _redistribution(arguments: Sequence[str]) -> Any:
    """How the predictor learns by default: that depends on the algorithm, wherever it is named."""
    algo = AgentConfig.algo
    for at, argument in enumerate(arguments):
        if argument == "--algo" and at + 1 < len(arguments):
            algo = arguments[at + 1]
        elif argument.startswith("--algo="):
            algo = argument.removeprefix("--algo=")
    return REPLAYED if learns_from_replay(algo) else ON_POLICY


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; the exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if "--version" in arguments:
        print(f"rudder-lrp {rudder_lrp.__version__}")
        return 0
    try:
        _log(_take_level(arguments))
        return _run(read_command(arguments))
    except KeyboardInterrupt as interruption:
        print(str(interruption) or "interrupted; nothing was saved", file=sys.stderr)
        return 130
    except _WRONG as error:
        logging.getLogger(__name__).debug("", exc_info=True)
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


def _run(command: Train | Explain | Compare) -> int:
    if isinstance(command, Train):
        train(command)
    elif isinstance(command, Explain):
        explain(command)
    else:
        return compare(command)
    return 0


def _take_level(arguments: list[str]) -> str:
    for at, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name == _LEVEL:
            rest = at + 1 if equals else at + 2
            level = value if equals else "".join(arguments[at + 1 : rest])
            del arguments[at:rest]
            if level not in Level.__args__:  # type: ignore[attr-defined]
                raise ValueError(f"no log level {level!r}; choose one of debug, info, warning, error")
            return level
    return "warning"


def _log(level: str) -> None:
    logging.basicConfig(level=level.upper(), format="%(levelname)s %(name)s: %(message)s", force=True)
