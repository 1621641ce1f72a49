"""Checkpoints of a whole run: the model, the statistics of its VecNormalize and everything behind its credit.

Predictor, lessons, training and statistics are safetensors with JSON headers, so that reading them executes nothing.
The model is Stable-Baselines3's own zip, and so is the pickled replay buffer, if it is asked for: load those from
sources you trust.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecEnv, VecNormalize, unwrap_vec_normalize, unwrap_vec_wrapper
from torch import Tensor

from rudder_lrp.persistence.manifest import read_manifest
from rudder_lrp.persistence.run_folder import RunFolder, restore, run_folder
from rudder_lrp.prediction.online import OnlinePredictor
from rudder_lrp.sb3.pipeline import check_same, describe_env, describe_model
from rudder_lrp.sb3.vec_env import RedistributedRewardVecEnv
from rudder_lrp.storage import DamagedFileError, check_tensors, read_tensors, write_tensors

_KIND = "observation and reward statistics 2"
_STATISTICS = "statistics.safetensors"

_resumed: WeakKeyDictionary[OnlinePredictor, tuple[dict[str, Any], frozenset[str]]] = WeakKeyDictionary()
"""What the run was built of that a predictor was resumed from, and what is meant to differ."""


def credit_env(env: VecEnv | None) -> RedistributedRewardVecEnv:
    """The wrapper that redistributes rewards, somewhere in an environment.

    Raises:
        ValueError: if there is none.
    """
    found = None if env is None else unwrap_vec_wrapper(env, RedistributedRewardVecEnv)
    if found is None:
        raise ValueError(
            "found no RedistributedRewardVecEnv around the training environment; wrap it before building the model"
        )
    return found


def save_checkpoint(folder: str | Path, model: BaseAlgorithm, *, replay_buffer: bool = False, keep: int = 2) -> Path:
    """Write a checkpoint below `folder`: whole, or, if the process is killed on the way, not at all.

    Args:
        folder: where checkpoints go; it belongs to the run that wrote there first.
        model: trained on a `RedistributedRewardVecEnv`.
        replay_buffer: whether to save an off-policy algorithm's replay buffer too; it may be large.
        keep: how many of the newest checkpoints stay.

    Returns:
        The checkpoint's folder.

    Raises:
        FolderInUseError: if another process writes into the folder.
        ValueError: if the folder holds another run, or this one was resumed with another algorithm or discount.
    """
    with run_folder(folder, credit_env(model.get_env()).online, keep) as run:
        return write_checkpoint(run, model, replay_buffer=replay_buffer)


def write_checkpoint(run: RunFolder, model: BaseAlgorithm, *, replay_buffer: bool = False) -> Path:
    """Write a checkpoint of a model into the folder of its run; see `save_checkpoint`.

    Raises:
        ValueError: if there is no replay buffer to save, or the pipeline is not the one that was resumed.
    """
    env = model.get_env()
    assert env is not None
    if replay_buffer and not isinstance(model, OffPolicyAlgorithm):
        raise ValueError(f"{type(model).__name__} has no replay buffer to save; leave the option out")
    pipeline = {"environment": describe_env(env), "model": describe_model(model)}
    if run.online in _resumed:
        before, changed = _resumed[run.online]
        check_same(before["model"], pipeline["model"], changed)

    def write(checkpoint: Path) -> None:
        model.save(checkpoint / "model")
        write_statistics(checkpoint, env)
        if isinstance(model, OffPolicyAlgorithm) and replay_buffer:
            model.save_replay_buffer(checkpoint / "replay_buffer")

    return run.checkpoint(pipeline, write)


def resume(folder: str | Path, env: VecEnv, *, changed: str | Collection[str] = ()) -> Path | None:
    """Give an environment the credit of the last whole checkpoint, and the lessons that were finished after it.

    Load the model afterwards with `PPO.load(checkpoint / "model", env=env)` and go on with
    `learn(..., reset_num_timesteps=False)`. Environments begin new episodes, as Stable-Baselines3 has it.

    Args:
        folder: where checkpoints went.
        env: built as for the run that was saved, not yet stepped.
        changed: what is meant to be different, by the name or names that the error of a difference gives.

    Returns:
        The checkpoint's folder; none if there is no checkpoint, and the run has to begin at the beginning.

    Raises:
        ValueError: if no checkpoint is whole (if some are not, they are left out with a warning), or the run was built
            otherwise than `env`; nothing is changed then.
    """
    online, own = credit_env(env).online, describe_env(env)
    changed = {changed} if isinstance(changed, str) else changed

    def check(pipeline: dict[str, Any]) -> None:
        known = {name for part in (own, *pipeline.values()) for name in part}
        if unknown := sorted(set(changed) - known - {name.split(".")[0] for name in known}):
            raise ValueError(f"changed={unknown} names nothing that could differ; there are {sorted(known)}")
        check_same(pipeline["environment"], own, changed)

    checkpoint = restore(folder, online, check, lambda at: read_statistics(at, env))
    if checkpoint is not None:
        _resumed[online] = read_manifest(checkpoint).pipeline, frozenset(changed)
    return checkpoint


def _running_statistics(env: VecNormalize) -> dict[str, RunningMeanStd]:
    observations = getattr(env, "obs_rms", {})
    if not isinstance(observations, dict):
        observations = {"": observations}
    return {"rewards": env.ret_rms} | {f"observations.{key}": part for key, part in observations.items()}


def _as_tensors(parts: dict[str, RunningMeanStd]) -> dict[str, Tensor]:
    return {
        f"{name} {what}": torch.from_numpy(np.array(value, dtype=np.float64))
        for name, part in parts.items()
        for what, value in (("mean", part.mean), ("variance", part.var), ("count", part.count))
    }


def write_statistics(folder: Path, env: VecEnv | None) -> None:
    """Write the statistics of an environment's `VecNormalize` into a folder; nothing, if it has none."""
    own = None if env is None else unwrap_vec_normalize(env)
    if own is not None:
        write_tensors(folder / _STATISTICS, _as_tensors(_running_statistics(own)), _KIND, {})


def read_statistics(folder: Path, env: VecEnv) -> Callable[[], None]:
    """Read what belongs into the `VecNormalize` of an environment, and change nothing yet.

    Returns:
        What puts it there; it does nothing if there is no `VecNormalize`, or the folder has no statistics.

    Raises:
        DamagedFileError: if the file is not as it was written.
        ValueError: if it holds something else.
    """
    own, path = unwrap_vec_normalize(env), folder / _STATISTICS
    if own is None or not path.exists():
        return lambda: None
    parts = _running_statistics(own)
    tensors, _ = read_tensors(path, _KIND)
    check_tensors(path, tensors, _as_tensors(parts))
    if any((value < 0.0).any() for name, value in tensors.items() if not name.endswith("mean")):
        raise DamagedFileError(f"{path}: a variance or count is negative; restore it from a copy")

    def put() -> None:
        for name, part in parts.items():
            part.mean, part.var = (tensors[f"{name} {what}"].numpy() for what in ("mean", "variance"))
            part.count = float(tensors[f"{name} count"])

    return put
