"""Hyperparameters of an algorithm from `key=value` and from a YAML file in RL Zoo's format."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
import yaml
from stable_baselines3.common.base_class import BaseAlgorithm

_OURS = ("env", "seed", "policy", "tensorboard_log", "verbose", "device", "_init_setup_model")
_SCHEDULED = ("learning_rate", "clip_range", "clip_range_vf", "delta_std")
_REFUSED = {
    "env_wrapper": "register the wrapped environment under an id of its own",
    "vec_env_wrapper": "register the wrapped environment under an id of its own",
    "callback": "leave it out, or write a training loop of your own",
    "frame_stack": "register the wrapped environment under an id of its own",
}


@dataclass(frozen=True)
class ZooEntry:
    """What a YAML file in RL Zoo's format says of one environment."""

    arguments: dict[str, Any] = field(default_factory=dict)
    """Of the algorithm's constructor."""
    policy: str | None = None
    n_envs: int | None = None
    n_timesteps: int | None = None
    normalize: dict[str, Any] | None = None
    """Arguments of `VecNormalize`; none, no normalisation."""


def check_at_least(least: int, **options: int | None) -> None:
    """Refuse options that are given and too small.

    Raises:
        ValueError: naming the first.
    """
    for name, value in options.items():
        if value is not None and value < least:
            raise ValueError(f"--{name.replace('_', '-')} must be at least {least}, got {value}")


def parse_assignments(assignments: Sequence[str]) -> dict[str, Any]:
    """`key=value` pairs as a dictionary, each value read as YAML.

    Raises:
        ValueError: if one of them is no `key=value`, or a key is there twice.
    """
    values: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key:
            raise ValueError(f"{assignment!r} is no hyperparameter; write key=value, such as learning_rate=0.001")
        if key in values:
            raise ValueError(f"the hyperparameter {key!r} is given twice; give it once")
        values[key] = _value(key, _yaml(text, assignment))
    return values


def read_zoo_file(path: Path, env_id: str) -> ZooEntry:
    """The entry of an environment, or the one named `default`.

    Raises:
        ValueError: if the file is no such YAML, has no entry for the environment, or asks for what is not supported.
        OSError: if it cannot be read.
    """
    entries = _yaml(path.read_bytes(), str(path))
    name = env_id.rpartition(":")[2]
    if not isinstance(entries, dict) or not isinstance(entry := entries.get(name, entries.get("default")), dict):
        known = ", ".join(map(str, entries)) if isinstance(entries, dict) else "no table"
        raise ValueError(f"{path} has no entry for {name} (it has {known}); add one, or an entry named default")
    return _zoo_entry(path, dict(entry))


def _zoo_entry(path: Path, entry: dict[str, Any]) -> ZooEntry:
    for key, remedy in _REFUSED.items():
        if entry.pop(key, None) is not None:
            raise ValueError(f"{path} asks for {key}, which the command does not take; {remedy}")
    normalize = _value("normalize", entry.pop("normalize", None))
    if normalize is True:
        normalize = {}
    whole = {key: entry.pop(key, None) for key in ("n_envs", "n_timesteps")}
    policy = entry.pop("policy", None)
    return ZooEntry(
        arguments={key: _value(key, value) for key, value in entry.items()},
        policy=policy,
        normalize=normalize or (normalize if normalize == {} else None),
        **{key: None if value is None else _count(path, key, value) for key, value in whole.items()},
    )


def _count(path: Path, key: str, value: Any) -> int:
    try:
        count = int(float(value))
    except (TypeError, ValueError, OverflowError):
        count = 0
    if count < 1:
        raise ValueError(f"{path} says {key} is {value!r}, where a whole number of at least 1 is needed; mend it")
    return count


def _yaml(text: str | bytes, where: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{where} is no YAML ({' '.join(str(error).split())}); mend it") from error


def _value(key: str, value: Any) -> Any:
    """What RL Zoo writes as text: `lin_0.001` is a schedule, `dict(...)` a dictionary; 1e-3 is a number."""
    if not isinstance(value, str):
        return value
    if key in _SCHEDULED and value.startswith("lin_"):
        return _linear(_number(key, value.removeprefix("lin_")))
    if value.startswith("dict("):
        return _dictionary(key, value)
    try:
        return float(value)
    except ValueError:
        return value


def _number(key: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise ValueError(f"{key} is {text!r}, where a number is needed") from error


def _linear(initial: float) -> Callable[[float], float]:
    return lambda remaining: remaining * initial


def _dictionary(key: str, text: str) -> dict[str, Any]:
    """A call of `dict` with literals and names of `torch.nn`, read without executing it."""
    try:
        call = ast.parse(text, mode="eval").body
        if not isinstance(call, ast.Call) or call.args or any(part.arg is None for part in call.keywords):
            raise ValueError("not of the form dict(name=value)")
        return {str(part.arg): _literal(part.value) for part in call.keywords}
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"{key} is {text!r}, which cannot be read ({error}); write it as a YAML mapping") from error


def _literal(node: ast.expr) -> Any:
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "nn":
        if not hasattr(torch.nn, node.attr):
            raise ValueError(f"torch.nn has no {node.attr}")
        return getattr(torch.nn, node.attr)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
        return {str(part.arg): _literal(part.value) for part in node.keywords}
    return ast.literal_eval(node)


def check_arguments(algorithm: type[BaseAlgorithm], arguments: Mapping[str, Any]) -> None:
    """Refuse arguments that the algorithm does not take, or that have options of their own here.

    Raises:
        ValueError: naming the nearest argument there is.
    """
    taken = [name for name in inspect.signature(algorithm).parameters if name not in _OURS]
    for name in arguments:
        if name not in taken:
            nearest = get_close_matches(name, taken, n=1)
            near = f"the nearest is {nearest[0]}" if nearest else f"it takes {', '.join(taken)}"
            raise ValueError(f"{algorithm.__name__} takes no hyperparameter {name!r}; {near}")
