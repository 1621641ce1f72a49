"""Environments by their ids: found, made to pay late, and asked what a person wants to know of an episode."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from enum import StrEnum
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from rudder_lrp.episodes.delayed_reward import DelayedReward

NAMESPACE = "rudder_lrp/"
"""Of the environments that come with a checkout; they pay late by their own rules."""

_CHECKOUT = "envs"
_AT_THE_END = "all paid at the last step"
_USUAL = {"success": "success", "is_success": "success"}


class Delay(StrEnum):
    """When a reward is paid, apart from every k steps."""

    AUTO = "auto"
    """At the end for Gymnasium's environments; as they are for those that pay late by themselves."""
    END = "end"
    """All at the last step."""
    NONE = "none"
    """As the environment pays it."""


def find_spec(env_id: str) -> EnvSpec:
    """The registered environment of an id; `package.module:Name-v0` imports the module first.

    Modules are looked for in the working directory, too.

    Raises:
        ValueError: if there is none, naming the nearest ids there are.
    """
    module, _, name = env_id.rpartition(":")
    if module:
        _import(module, env_id)
    elif env_id.startswith(NAMESPACE) and env_id not in gym.registry and importlib.util.find_spec(_CHECKOUT):
        importlib.import_module(_CHECKOUT)
    try:
        return gym.spec(name)
    except gym.error.Error as error:
        raise ValueError(f"no environment {env_id!r}{_remedy(name)}") from error


def _import(module: str, env_id: str) -> None:
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        importlib.import_module(module)
    except ImportError as error:
        raise ValueError(
            f"no environment {env_id!r}: importing {module} failed ({error}); install it, or run where it lies"
        ) from error
    except Exception as error:  # whatever the module does when it is imported
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"no environment {env_id!r}: importing {module} failed ({reason}); mend the module") from error


def _remedy(name: str) -> str:
    if name.startswith(NAMESPACE) and not any(known.startswith(NAMESPACE) for known in gym.registry):
        return f": the environments of {NAMESPACE} come with a checkout, not with the wheel; pip install -e CHECKOUT"
    namespace, slash, _ = name.rpartition("/")
    if slash and not any(known.startswith(f"{namespace}/") for known in gym.registry):
        return (
            f": no imported package registers environments of {namespace}/; install the one that does, and name it, "
            f"as in its_module:{name}"
        )
    nearest = get_close_matches(name, gym.registry, n=3, cutoff=0.5)
    near = f"; the nearest are {', '.join(nearest)}" if nearest else ""
    return f"{near}; one of your own is named package.module:Name-v0"


def pays_late(env_id: str) -> bool:
    """Whether an environment's reward is delayed by its own rules."""
    return env_id.rpartition(":")[2].startswith(NAMESPACE)


def environment_factory(env_id: str, delay: Delay | int) -> Callable[[], gym.Env[Any, Any]]:
    """A function that builds one environment with its delay.

    Args:
        env_id: as in `find_spec`.
        delay: when the reward is paid, or after how many steps each time.

    Raises:
        ValueError: if no such environment is registered, or nothing would be paid before the end.
    """
    spec = find_spec(env_id)
    if delay is Delay.AUTO:
        delay = Delay.NONE if pays_late(env_id) else Delay.END
    if delay is Delay.NONE:
        return lambda: gym.make(env_id)
    every = None if isinstance(delay, Delay) else delay
    limit = spec.max_episode_steps
    if every is not None and limit is not None and every > limit:
        raise ValueError(
            f"a payment every {every} steps is none at all in episodes of at most {limit} steps; "
            "take fewer, or pay at the end"
        )
    if every is not None and every < 1:
        raise ValueError(f"the delay must be at least 1 step, got {every}; 'end' pays at the last step alone")
    return lambda: DelayedReward(gym.make(env_id), every)


def describe_delay(env_id: str, delay: Delay | int) -> str:
    """When the reward is paid, in words."""
    if not isinstance(delay, Delay):
        return f"paid every {delay} steps"
    if delay is Delay.AUTO:
        return "paid late by its own rules" if pays_late(env_id) else _AT_THE_END
    return _AT_THE_END if delay is Delay.END else "paid as the environment pays"


def outcome_labels(env: gym.Env[Any, Any]) -> Mapping[str, str]:
    """Entries of an episode's last info that stand beside its return, and what they are called.

    An environment names them in `metadata["outcomes"]`, a mapping from info keys to labels; `success` and `is_success`
    are shown wherever they are.
    """
    return _USUAL | dict(env.unwrapped.metadata.get("outcomes", {}))


def reference_return(env: gym.Env[Any, Any]) -> float | None:
    """The optimal mean return if the environment says so (`optimal_return`), else Gymnasium's solved threshold."""
    optimal = getattr(env.unwrapped, "optimal_return", None)
    threshold = env.spec.reward_threshold if env.spec is not None else None
    return threshold if optimal is None else float(optimal)
