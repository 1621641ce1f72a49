"""Checkpoints of a whole run: the model, the statistics of its VecNormalize and everything behind its credit.

Predictor, lessons, training and statistics are safetensors with JSON headers, so that reading them executes nothing.
The model is Stable-Baselines3's own zip, and so is the pickled replay buffer, if it is asked for: load those from
sources you trust.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecEnv, VecNormalize, unwrap_vec_normalize, unwrap_vec_wrapper

from rudder_lrp.persistence.checkpoints import latest_checkpoint, new_checkpoint, read_online, write_online
from rudder_lrp.sb3.vec_env import RedistributedRewardVecEnv
from rudder_lrp.storage import read_tensors, write_tensors

_KIND = "observation and reward statistics 1"
_STATISTICS = "statistics.safetensors"


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
        folder: where checkpoints go.
        model: trained on a `RedistributedRewardVecEnv`.
        replay_buffer: whether to save an off-policy algorithm's replay buffer too; it may be large.
        keep: how many of the newest checkpoints stay.

    Returns:
        The checkpoint's folder.
    """
    env = model.get_env()
    with new_checkpoint(folder, keep) as checkpoint:
        write_online(checkpoint, credit_env(env).online)
        model.save(checkpoint / "model")
        if env is not None and (statistics := unwrap_vec_normalize(env)) is not None:
            _write_statistics(checkpoint / _STATISTICS, statistics)
        if replay_buffer and isinstance(model, OffPolicyAlgorithm):
            model.save_replay_buffer(checkpoint / "replay_buffer")
    latest = latest_checkpoint(folder)
    assert latest is not None
    return latest


def resume(folder: str | Path, env: VecEnv) -> Path | None:
    """Give an environment the credit of the latest checkpoint, and the lessons that were finished after it.

    Load the model afterwards with `PPO.load(checkpoint / "model", env=env)` and go on with
    `learn(..., reset_num_timesteps=False)`. Environments begin new episodes, as Stable-Baselines3 has it.

    Args:
        folder: where checkpoints went.
        env: built as for the run that was saved, not yet stepped.

    Returns:
        The checkpoint's folder; none if there is no checkpoint, and the run has to begin at the beginning.

    Raises:
        ValueError: if a file is damaged, or made for other spaces or another LSTM; nothing is changed then.
    """
    checkpoint = latest_checkpoint(folder)
    if checkpoint is None:
        return None
    read_online(checkpoint, credit_env(env).online)
    statistics = unwrap_vec_normalize(env)
    if statistics is not None and (checkpoint / _STATISTICS).is_file():
        _read_statistics(checkpoint / _STATISTICS, statistics)
    return checkpoint


def _running_statistics(env: VecNormalize) -> dict[str, RunningMeanStd]:
    observations = getattr(env, "obs_rms", {})
    if not isinstance(observations, dict):
        observations = {"": observations}
    return {"rewards": env.ret_rms} | {f"observations.{key}": part for key, part in observations.items()}


def _write_statistics(path: Path, env: VecNormalize) -> None:
    parts = _running_statistics(env)
    means = {f"{name} mean": torch.from_numpy(np.array(part.mean)) for name, part in parts.items()}
    variances = {f"{name} variance": torch.from_numpy(np.array(part.var)) for name, part in parts.items()}
    write_tensors(path, means | variances, _KIND, {name: float(part.count) for name, part in parts.items()})


def _read_statistics(path: Path, env: VecNormalize) -> None:
    tensors, counts = read_tensors(path, _KIND)
    parts = _running_statistics(env)
    if parts.keys() != counts.keys():
        raise ValueError(
            f"{path} holds statistics of {sorted(counts)}, this VecNormalize keeps {sorted(parts)}; "
            "build it as in the run that was saved"
        )
    for name, part in parts.items():
        part.mean, part.var = (tensors[f"{name} {what}"].numpy() for what in ("mean", "variance"))
        part.count = counts[name]
