from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from rudder_lrp.cli.episodes import mean_return, play_episode, trained_policy
from rudder_lrp.cli.main import main
from rudder_lrp.cli.train import read_run
from tests.cli.steps import Steps


class Recorder:
    """Stands in for a trained model, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict] = []

    def predict(self, observation, state=None, episode_start=None, action_masks=None):
        self.asked.append(
            {"seen": observation, "state": state, "begins": bool(episode_start[0]), "masks": action_masks}
        )
        return np.array(1), len(self.asked)


class MaskablePPO(Recorder):
    """Known by its name."""


class Masked(Steps):
    def action_masks(self) -> np.ndarray:
        return np.array([True, self.step_count > 0])


def test_a_trained_agent_remembers_within_an_episode_and_begins_each_anew() -> None:
    model, env = Recorder(), Steps()
    assert mean_return(env, lambda: trained_policy(model, env, None), episodes=2, seed=0) == 10.0
    assert [asked["begins"] for asked in model.asked] == ([True] + [False] * 9) * 2
    assert [asked["state"] for asked in model.asked] == [None, *range(1, 10), None, *range(11, 20)]
    assert all(asked["masks"] is None for asked in model.asked)


def test_a_trained_agent_heeds_the_masks_of_each_step() -> None:
    model, env = MaskablePPO(), gym.wrappers.TimeLimit(Masked(), 10)
    play_episode(env, trained_policy(model, env, None), seed=0)
    assert [list(asked["masks"]) for asked in model.asked[:2]] == [[True, False], [True, True]]


def test_a_trained_agent_sees_what_is_normalised_as_in_training() -> None:
    statistics = VecNormalize(DummyVecEnv([Steps]))
    statistics.obs_rms.mean, statistics.obs_rms.var = np.array([0.5, 0.0]), np.array([0.25, 1.0])
    model = Recorder()
    play_episode(Steps(), trained_policy(model, Steps(), statistics), seed=0)
    np.testing.assert_allclose(model.asked[1]["seen"], [(0.1 - 0.5) / 0.5, 0.1], rtol=1e-6)


@pytest.mark.parametrize(("credit", "folder"), [("lrp", "Steps-v0_PPO_lrp_1"), ("none", "Steps-v0_PPO_plain_1")])
def test_a_run_keeps_its_hyperparameters_and_what_it_normalises_by(
    credit, folder, tmp_path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "zoo.yml"
    file.write_text("Steps-v0:\n  n_envs: 2\n  n_steps: 16\n  batch_size: 32\n  normalize: true\n")
    env = ["--env", "tests.cli.steps:Steps-v0", "--credit", credit, "--algo-file", "zoo.yml"]
    assert main(["train", *env, "--timesteps", "64", "--evaluation-episodes", "1"]) == 0
    file.unlink()
    means = []

    def learns(self, *_, **__):
        means.append(self.get_vec_normalize_env().obs_rms.mean)
        return self

    monkeypatch.setattr(PPO, "learn", learns)
    resumed = main(["train", "--resume", "runs/latest", "--timesteps", "128", "--evaluation-episodes", "0"])
    assert resumed == 0, capsys.readouterr().err
    assert read_run(tmp_path / "runs" / folder).agent.zoo.n_envs == 2
    assert means[0][0] == pytest.approx(0.45, abs=0.1)  # the mean of the share of steps gone by; 0 if nothing was kept
    if credit == "lrp":
        assert main(["explain", "--run", "runs/latest"]) == 0
