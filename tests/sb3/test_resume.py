from __future__ import annotations

import json
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    VecCheckNan,
    VecExtractDictObs,
    VecFrameStack,
    VecNormalize,
)

from rudder_lrp.persistence.checkpoints import latest_checkpoint
from rudder_lrp.persistence.manifest import Manifest, seal
from rudder_lrp.redistribution import LRPRedistributor
from rudder_lrp.sb3 import (
    EpisodicCredit,
    RedistributedReplayBuffer,
    RedistributedRewardVecEnv,
    RedistributionCallback,
    resume,
    save_checkpoint,
)
from rudder_lrp.sb3.pipeline import check_same, describe_env
from rudder_lrp.storage import read_tensors, write_tensors
from tests.sb3.play import agent, credit, vec_env


def lessons_of(env: RedistributedRewardVecEnv) -> list[np.ndarray]:
    return [lesson.features for lesson in (*env.online.lessons.training, *env.online.lessons.held_out)]


def test_a_checkpoint_holds_all_of_the_credit(tmp_path) -> None:
    env = credit()
    model = agent(env).learn(500)
    checkpoint = save_checkpoint(tmp_path, model)
    again = credit(seed=9)
    assert resume(tmp_path, again) == checkpoint
    saved, loaded = env.online, again.online
    for name, tensor in saved.predictor.state_dict().items():
        assert torch.equal(tensor, loaded.predictor.state_dict()[name]), name
    for one, two in zip(lessons_of(env), lessons_of(again), strict=True):
        np.testing.assert_array_equal(one, two)
    assert (saved.version, saved.quality, saved.lessons.seen) == (loaded.version, loaded.quality, loaded.lessons.seen)
    saved.train_if_due(10**6)
    loaded.train_if_due(10**6)
    assert saved.quality == loaded.quality, "optimizer, draws and normalisation go on as if nothing had happened"


def run_on(folder: Path) -> np.ndarray:
    env = credit()
    checkpoint = resume(folder, env)
    model = PPO.load(checkpoint / "model", env=env, device="cpu")
    model.learn(200, reset_num_timesteps=False)
    return np.concatenate([parameter.detach().numpy().ravel() for parameter in model.policy.parameters()])


def test_resuming_twice_gives_the_same_numbers(tmp_path) -> None:
    agent(credit()).learn(300, callback=RedistributionCallback(tmp_path))
    np.testing.assert_array_equal(run_on(tmp_path), run_on(tmp_path))


def test_steps_go_on_where_they_stopped(tmp_path) -> None:
    agent(credit()).learn(320, callback=RedistributionCallback(tmp_path))
    env = credit()
    model = PPO.load(resume(tmp_path, env) / "model", env=env, device="cpu")
    version = env.online.version
    model.learn(160, reset_num_timesteps=False, callback=RedistributionCallback(tmp_path))
    assert model.num_timesteps == 480
    assert env.online.version >= version + 4, "the predictor is trained every 32 steps again"


def test_lessons_finished_after_the_checkpoint_are_in_the_journal(tmp_path) -> None:
    env = credit()
    agent(env).learn(300, callback=RedistributionCallback(tmp_path, checkpoint_every=10**9))
    for checkpoint in tmp_path.glob("checkpoint_*"):
        if checkpoint != min(tmp_path.glob("checkpoint_*")):
            checkpoint.rename(tmp_path / "gone")
    again = credit()
    resume(tmp_path, again)
    assert again.online.version == 0, "the checkpoint is from before the first step"
    assert again.online.lessons.seen == env.online.lessons.seen
    for one, two in zip(lessons_of(env), lessons_of(again), strict=True):
        np.testing.assert_array_equal(one, two)


def test_without_a_checkpoint_there_is_nothing_to_resume(tmp_path) -> None:
    assert resume(tmp_path / "nothing", credit()) is None


def test_a_failed_checkpoint_leaves_the_one_before(tmp_path, monkeypatch) -> None:
    def fail(_: PPO, path: Path) -> None:
        Path(path).touch()
        raise OSError("disk full")

    model = agent(credit())
    first = save_checkpoint(tmp_path, model)
    with monkeypatch.context() as patch:
        patch.setattr(PPO, "save", fail)
        with pytest.raises(OSError, match="disk full"):
            save_checkpoint(tmp_path, model)
    assert latest_checkpoint(tmp_path) == first
    second = save_checkpoint(tmp_path, model)
    third = save_checkpoint(tmp_path, model)
    names = sorted(path.name for path in tmp_path.glob("checkpoint_*"))
    assert names == [second.name, third.name], "the newest two stay"
    assert not list(tmp_path.glob(".unfinished_*"))


@pytest.mark.parametrize("file", ["predictor.safetensors", "lessons.safetensors", "training.safetensors"])
@pytest.mark.parametrize("damage", ["truncated", "empty", "foreign", "text"])
def test_a_damaged_or_foreign_file_is_refused_and_changes_nothing(tmp_path, file, damage) -> None:
    checkpoint = save_checkpoint(tmp_path, agent(credit()).learn(200))
    data = (checkpoint / file).read_bytes()
    other = {"predictor.safetensors": "lessons.safetensors"}.get(file, "predictor.safetensors")
    broken = {
        "truncated": data[: len(data) // 2],
        "empty": b"",
        "foreign": (checkpoint / other).read_bytes(),
        "text": b"{}",
    }
    (checkpoint / file).write_bytes(broken[damage])
    env = credit(seed=4)
    before = {name: tensor.clone() for name, tensor in env.predictor.state_dict().items()}
    with pytest.raises(ValueError, match=f"no checkpoint below .* is whole: .*{file} is damaged"):
        resume(tmp_path, env)
    assert all(torch.equal(before[name], tensor) for name, tensor in env.predictor.state_dict().items())
    assert env.online.lessons.seen == 0


def test_another_lstm_or_other_spaces_are_refused(tmp_path) -> None:
    from stable_baselines3.common.env_util import make_vec_env

    save_checkpoint(tmp_path, agent(credit()))
    with pytest.raises(ValueError, match=r"structure was 'minimal' and is 'accumulator'"):
        resume(tmp_path, credit(structure="accumulator"))
    with pytest.raises(
        ValueError, match=r"has a minimal LSTM of 64 cells on the full encoding, this one a accumulator"
    ):
        resume(tmp_path, credit(structure="accumulator"), changed=["RedistributedRewardVecEnv"])
    with pytest.raises(ValueError, match="was made for observation_space"):
        resume(tmp_path, credit(make_vec_env("CartPole-v1", n_envs=2)))


def test_stacked_frames_and_other_environments_are_named_and_wrappers_without_effect_are_not(tmp_path) -> None:
    save_checkpoint(tmp_path, agent(VecCheckNan(VecFrameStack(credit(), 2))))
    assert resume(tmp_path, VecFrameStack(credit(), 2)) is not None
    with pytest.raises(ValueError, match=r"VecFrameStack.n_stack was 2 and is 3"):
        resume(tmp_path, VecFrameStack(credit(), 3))
    with pytest.raises(ValueError, match=r"n_envs was 2 and is 3"):
        resume(tmp_path, VecFrameStack(credit(vec_env(3)), 2))
    with pytest.raises(ValueError, match=r"changed=\['n_env'\] names nothing that could differ; there are .*'n_envs'"):
        resume(tmp_path, VecFrameStack(credit(vec_env(3)), 2), changed="n_env")
    assert resume(tmp_path, VecFrameStack(credit(vec_env(3)), 2), changed="n_envs") is not None


class Shown(gym.Env):
    action_space = spaces.Discrete(2)

    def __init__(self, space: spaces.Space) -> None:
        self.observation_space = space


def test_another_part_of_the_observations_is_named() -> None:
    space = spaces.Dict({name: spaces.Box(-1.0, 1.0, (2,)) for name in ("near", "far")})
    plain = DummyVecEnv([lambda: Shown(space)])
    saved, own = (describe_env(VecExtractDictObs(credit(plain), key)) for key in ("near", "far"))
    with pytest.raises(ValueError, match=r"VecExtractDictObs.key was 'near' and is 'far'"):
        check_same(saved, own)


def test_statistics_that_cannot_be_are_refused_though_their_file_is_whole(tmp_path) -> None:
    checkpoint = save_checkpoint(tmp_path, agent(VecNormalize(credit())).learn(64))
    kind = "observation and reward statistics 2"
    tensors, header = read_tensors(checkpoint / "statistics.safetensors", kind)
    tensors["observations. variance"] *= -1.0
    write_tensors(checkpoint / "statistics.safetensors", tensors, kind, header)
    manifest = read_sealed(checkpoint)
    seal(checkpoint, manifest)
    with pytest.raises(ValueError, match="a variance or count is negative"):
        resume(tmp_path, VecNormalize(credit()))


def read_sealed(checkpoint: Path) -> Manifest:
    contents = json.loads((checkpoint / "manifest.json").read_text())
    (checkpoint / "manifest.json").unlink()
    return Manifest(contents["run"], contents["pipeline"])


def test_statistics_of_vec_normalize_go_along(tmp_path) -> None:
    env = VecNormalize(credit())
    save_checkpoint(tmp_path, agent(env).learn(200))
    again = VecNormalize(credit())
    resume(tmp_path, again)
    np.testing.assert_array_equal(again.obs_rms.mean, env.obs_rms.mean)
    np.testing.assert_array_equal(again.obs_rms.var, env.obs_rms.var)
    assert (again.ret_rms.var, again.ret_rms.count) == (env.ret_rms.var, env.ret_rms.count)
    with pytest.raises(ValueError, match=r"VecNormalize.norm_obs was True and is False; build this one alike"):
        resume(tmp_path, VecNormalize(credit(), norm_obs=False))


def test_a_replay_buffer_is_saved_if_asked_for(tmp_path) -> None:
    env = credit()
    options = {"credit": EpisodicCredit(env, LRPRedistributor(env.predictor))}
    model = DQN(
        "MlpPolicy",
        env,
        buffer_size=500,
        learning_starts=50,
        device="cpu",
        replay_buffer_class=RedistributedReplayBuffer,
        replay_buffer_kwargs=options,
    )
    model.learn(200, callback=RedistributionCallback(tmp_path, checkpoint_replay_buffer=True))
    again = credit()
    checkpoint = resume(tmp_path, again)
    options = {"credit": EpisodicCredit(again, LRPRedistributor(again.predictor))}
    loaded = DQN.load(checkpoint / "model", env=again, device="cpu", replay_buffer_kwargs=options)
    loaded.load_replay_buffer(checkpoint / "replay_buffer")
    loaded.replay_buffer.credit = options["credit"]
    assert loaded.replay_buffer.size() == 100
    loaded.learn(100, reset_num_timesteps=False)


def test_a_normalisation_of_rewards_alone_is_saved_too(tmp_path) -> None:
    env, again = (VecNormalize(credit(), norm_obs=False) for _ in range(2))
    model = agent(env).learn(96)
    save_checkpoint(tmp_path, model)
    resume(tmp_path, again)
    assert float(again.ret_rms.var) == float(env.ret_rms.var) != 1.0
