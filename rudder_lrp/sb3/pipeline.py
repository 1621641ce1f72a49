"""What a run is built of, as far as going on with something else would go wrong: written down, and compared."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import (
    VecCheckNan,
    VecEnv,
    VecEnvWrapper,
    VecExtractDictObs,
    VecFrameStack,
    VecMonitor,
    VecNormalize,
    VecTransposeImage,
    VecVideoRecorder,
)

from rudder_lrp.sb3.vec_env import RedistributedRewardVecEnv

_HARMLESS = (VecCheckNan, VecMonitor, VecTransposeImage, VecVideoRecorder)
_NORMALIZE = ("norm_obs", "norm_reward", "clip_obs", "clip_reward", "gamma", "epsilon", "norm_obs_keys")


def describe_env(env: VecEnv) -> dict[str, Any]:
    """Number of environments, the wrappers from the outermost to the innermost and their options, by dotted names."""
    found: dict[str, Any] = {"n_envs": env.num_envs}
    wrappers = []
    layer = env
    while isinstance(layer, VecEnvWrapper):
        if not isinstance(layer, _HARMLESS):
            wrappers.append(type(layer).__name__)
            found |= {f"{wrappers[-1]}.{name}": value for name, value in _options(layer).items()}
        layer = layer.venv
    described: dict[str, Any] = json.loads(json.dumps(found | {"wrappers": wrappers}, default=str))
    return described


def describe_model(model: BaseAlgorithm) -> dict[str, Any]:
    """Algorithm and discount."""
    return {"algorithm": type(model).__name__, "gamma": float(getattr(model, "gamma", 1.0))}


def _options(layer: VecEnvWrapper) -> dict[str, Any]:
    if isinstance(layer, VecNormalize):
        return {name: getattr(layer, name) for name in _NORMALIZE}
    if isinstance(layer, VecFrameStack):
        return {"n_stack": layer.stacked_obs.n_stack}
    if isinstance(layer, VecExtractDictObs):
        return {"key": layer.key}
    if isinstance(layer, RedistributedRewardVecEnv):
        options = asdict(layer.online.config)
        options.pop("device", None)  # no part of what a run is: it may go on anywhere
        return _flat(options)
    return {}


def _flat(options: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in options.items():
        inner = _flat(value) if isinstance(value, Mapping) else None
        flat |= {name: value} if inner is None else {f"{name}.{key}": part for key, part in inner.items()}
    return flat


def check_same(saved: Mapping[str, Any], own: Mapping[str, Any], changed: Collection[str] = ()) -> None:
    """Refuse what differs from the run that was saved, unless it is meant to.

    Args:
        saved: description of then.
        own: description of now.
        changed: names of what is meant to differ, whole or up to a dot.

    Raises:
        ValueError: naming each difference.
    """
    # The options of a wrapper that only one of the two has say no more than that.
    shared = set(saved.get("wrappers", ())) & set(own.get("wrappers", ()))
    names = [
        name
        for name in sorted(own.keys() | saved.keys())
        if saved.get(name) != own.get(name)
        and ("." not in name or name.split(".")[0] in shared)
        and not {name, name.split(".")[0]} & set(changed)
    ]
    if names:
        differences = "; ".join(f"{name} was {saved.get(name)!r} and is {own.get(name)!r}" for name in names)
        raise ValueError(
            f"the run that was saved was built otherwise: {differences}; build this one alike, or name what you mean "
            f"to change: resume(folder, env, changed={names})"
        )
