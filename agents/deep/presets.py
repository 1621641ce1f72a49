"""The agents of the studies are those of the command: one config, one builder."""

from rudder_lrp.cli.agent import (
    AgentConfig,
    Credit,
    build_agent,
    make_environment,
    redistribution_of,
    redistributor_for,
)
from rudder_lrp.cli.environments import Delay

__all__ = [
    "AgentConfig",
    "Credit",
    "Delay",
    "build_agent",
    "make_environment",
    "redistribution_of",
    "redistributor_for",
]
