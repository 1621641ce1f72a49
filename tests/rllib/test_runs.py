"""Real algorithms with real processes of Ray."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ray.rllib", reason='needs Ray: pip install "rudder-lrp[rllib]"')

import ray
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.appo import APPOConfig
from ray.rllib.algorithms.dqn import DQNConfig
from ray.rllib.algorithms.impala import IMPALAConfig
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.algorithms.sac import SACConfig

from rudder_lrp.episodes.lessons import Lesson
from rudder_lrp.prediction.training_config import TrainingConfig
from rudder_lrp.rllib import with_credit
from rudder_lrp.rllib.client import PredictorClient
from tests.conftest import SPACES
from tests.rllib.play import QUICK, SETTINGS, DelayedCartPole, DelayedPendulum, OtherSpaces, Witness, played, small

pytestmark = pytest.mark.usefixtures("ray_processes")

PPO_BATCH = {"train_batch_size_per_learner": 256, "minibatch_size": 128, "num_epochs": 1}


def ppo(**options: Any) -> Any:
    config = small(PPOConfig()).training(**PPO_BATCH).learners(learner_connector=lambda *_: Witness())
    return with_credit(config, QUICK, interval=0.0, **options)


def trained(algorithm: Algorithm, rounds: int) -> list[dict[str, Any]]:
    return [algorithm.train() for _ in range(rounds)]


def until(what: Any, seconds: float = 60.0) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.2)


def progress(algorithm: Any) -> dict[str, float]:
    return algorithm.credit._insist(lambda: algorithm.credit._actor.progress.remote())


def test_ppo_learns_from_redistributed_rewards_that_sum_to_the_true_returns_which_the_metrics_show() -> None:
    Witness.seen.clear()
    algorithm = ppo(training=TrainingConfig(updates=60)).build_algo()
    results = trained(algorithm, 1)
    until(lambda: results.extend(trained(algorithm, 1)) or results[-1]["credit"]["q"] > 0.2)
    results += trained(algorithm, 4)
    algorithm.stop()
    returns = {name: float(sum(part.sum() for part in parts)) for name, parts in Witness.seen.items()}
    lengths = {name: sum(len(part) - 1 for part in parts) for name, parts in Witness.seen.items()}
    # CartPole pays one for each step. What runs at the end, or was cut at the beginning, has not been paid yet.
    over = [name for name in returns if abs(returns[name] - lengths[name]) < 1e-3]
    assert len(over) >= len(returns) - 2 * 4
    moved = [abs(part[:-1]).max() for name in over for part in Witness.seen[name][:1] if len(Witness.seen[name]) > 1]
    assert max(moved) > 0.01
    assert all(result["env_runners"]["episode_return_mean"] > 8.0 for result in results)
    last = results[-1]["env_runners"]
    assert last["episode_return_mean"] == pytest.approx(last["episode_len_mean"])
    assert results[-1]["credit"]["version"] >= 1
    assert results[-1]["env_runners"]["credit"]["bytes_of_weights"] > 0


def test_a_checkpoint_of_rllib_goes_on_with_the_predictor(tmp_path: Path) -> None:
    algorithm = ppo().build_algo()
    trained(algorithm, 4)
    path = algorithm.save_to_path(tmp_path / "checkpoint")
    algorithm.stop()
    again = Algorithm.from_checkpoint(path)
    found = progress(again)
    assert type(again) is type(algorithm)
    assert found["version"] >= 1
    assert found["lessons"] >= QUICK.min_lessons
    assert trained(again, 1)[0]["training_iteration"] == 5
    again.stop()


def test_a_predictor_of_other_spaces_is_refused_before_anything_runs(tmp_path: Path) -> None:
    algorithm = ppo().build_algo()
    path = tmp_path / "predictor.safetensors"
    path.write_bytes(algorithm.credit.get_state()["predictor.safetensors"])
    algorithm.stop()
    config = small(SACConfig(), DelayedPendulum)
    with pytest.raises(ValueError, match=r"was made for observation_space .* not for"):
        with_credit(config, predictor=path).build_algo()


def test_env_runners_with_other_spaces_are_refused() -> None:
    config = small(PPOConfig(), OtherSpaces).training(**PPO_BATCH)
    with pytest.raises(ValueError, match=r"EnvRunners have different spaces, .* let the environment have the same"):
        with_credit(config, QUICK).build_algo()


@pytest.mark.slow
@pytest.mark.parametrize("kind", [APPOConfig, IMPALAConfig])
@pytest.mark.parametrize("aggregators", [0, 1])
def test_asynchronous_algorithms_learn_with_credit(kind: Any, aggregators: int) -> None:
    config = small(kind()).training(train_batch_size_per_learner=128)
    config.learners(num_learners=1, num_aggregator_actors_per_learner=aggregators)
    algorithm = with_credit(config, QUICK, interval=0.0).build_algo()
    until(lambda: trained(algorithm, 1)[0].get("credit", {}).get("version", 0) >= 2)
    last = trained(algorithm, 1)[0]["env_runners"]
    assert last["episode_return_mean"] == pytest.approx(last["episode_len_mean"])
    algorithm.stop()


@pytest.mark.slow
def test_several_learners_share_the_episodes() -> None:
    config = small(PPOConfig()).training(**PPO_BATCH).learners(num_learners=2, num_cpus_per_learner=0)
    algorithm = with_credit(config, QUICK, interval=0.0).build_algo()
    until(lambda: trained(algorithm, 1)[0].get("credit", {}).get("version", 0) >= 1)
    algorithm.stop()


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "env", "length"), [(SACConfig, DelayedPendulum, 50), (DQNConfig, DelayedCartPole, 0)])
def test_off_policy_algorithms_replay_redistributed_rewards_with_the_true_sums(
    kind: Any, env: Any, length: int
) -> None:
    config = small(kind(), env).env_runners(rollout_fragment_length=8)
    config.training(train_batch_size_per_learner=32, num_steps_sampled_before_learning_starts=64)
    algorithm = with_credit(config, QUICK, interval=0.0).build_algo()
    until(lambda: trained(algorithm, 1)[0].get("credit", {}).get("version", 0) >= 2)
    trained(algorithm, 3)
    buffer = algorithm.local_replay_buffer
    over = [episode for episode in buffer.episodes if episode.id_ in buffer._stored]
    assert len(over) >= QUICK.min_lessons
    for episode in over:
        true = buffer._stored[episode.id_].lesson.episode_return
        assert episode.get_return() == pytest.approx(true, rel=1e-4, abs=1e-3)
        assert np.count_nonzero(episode.get_rewards()) > 1
    algorithm.stop()


@pytest.mark.slow
def test_a_run_goes_on_when_an_env_runner_and_then_the_predictor_are_killed() -> None:
    algorithm = ppo().build_algo()
    trained(algorithm, 4)
    manager = algorithm.env_runner_group
    (victim, *_) = manager.foreach_env_runner(lambda _: os.getpid(), local_env_runner=False)
    os.kill(victim, signal.SIGKILL)
    trained(algorithm, 3)
    until(lambda: trained(algorithm, 1) and manager.num_healthy_remote_workers() == 2)
    before = progress(algorithm)
    predictor = ray.get(algorithm.credit._actor.__ray_call__.remote(lambda _: os.getpid()))
    os.kill(predictor, signal.SIGKILL)
    results = trained(algorithm, 3)
    after = progress(algorithm)
    assert after["lessons"] >= before["lessons"]
    assert after["version"] >= before["version"] >= 1
    until(lambda: trained(algorithm, 1)[0]["credit"]["version"] > before["version"])
    assert all(result["env_runners"]["num_env_steps_sampled"] > 0 for result in results)
    algorithm.stop()


@pytest.mark.slow
def test_a_run_spreads_over_the_nodes_of_a_cluster() -> None:
    root = str(Path(__file__).parents[2])
    environment = os.environ | {"PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.rllib.two_nodes"]
    found = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert found.returncode == 0, found.stderr


def test_while_the_predictor_does_not_answer_an_env_runner_keeps_its_share_of_the_lessons() -> None:
    client = PredictorClient(SETTINGS, SPACES, senders=4)
    rng = np.random.default_rng(0)
    lessons = [Lesson.from_episode(played(rng), client.predictor.features) for _ in range(40)]
    assert client.send(lessons, 800) == 0
    assert not client.receive()
    assert list(client._unsent) == lessons[-QUICK.lesson_capacity // 4 :]


def test_a_gpu_that_no_machine_has_is_refused() -> None:
    with pytest.raises(ValueError, match="device 'cuda' is not there: no machine of this Ray cluster has a GPU"):
        ppo(device="cuda").build_algo()
