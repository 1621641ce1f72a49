"""What runs are made of, and what is kept of them."""

from __future__ import annotations

import os
from pathlib import Path

import gymnasium as gym
import pytest

from rudder_lrp.cli import compare, train
from rudder_lrp.cli.agent import AgentConfig, build_agent
from rudder_lrp.cli.compare import WITH, WITHOUT, Compare
from rudder_lrp.cli.episodes import TrueReturns, play_episode, random_policy
from rudder_lrp.cli.explain import Explain, _policy
from rudder_lrp.cli.folders import new_run
from rudder_lrp.cli.workers import _log_death
from tests.cli.running import STEPS


@pytest.mark.parametrize(
    ("exitcode", "said"),
    [
        (3, "the process ended with status 3\n"),
        (-15, "the process ended with SIGTERM\n"),
        (-9, "the process ended with SIGKILL; the system does so where memory is short\n"),
    ],
)
def test_a_log_ends_with_how_its_process_did(tmp_path, exitcode, said) -> None:
    (tmp_path / "log.txt").write_text("before\n")
    _log_death(tmp_path / "log.txt", exitcode)
    assert (tmp_path / "log.txt").read_text() == f"before\n{said}"


def test_by_default_as_many_runs_go_on_as_this_process_may_use_cores(monkeypatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3, 5}, raising=False)
    assert (compare._processes(Compare()), compare._processes(Compare(processes=2))) == (5, 2)


def test_a_trained_agent_is_judged_on_what_it_saw_in_training(tmp_path, monkeypatch, capsys) -> None:
    seen = []
    monkeypatch.setattr(train, "trained_policy", lambda model, env, statistics: seen.append(statistics))
    monkeypatch.setattr(train, "mean_return", lambda env, begin, episodes, seed: float(begin() is None) + seed)
    zoo = tmp_path / "ppo.yml"
    zoo.write_text("default:\n  normalize: true\n  policy: MlpPolicy\n")
    options = train.Train(AgentConfig(STEPS, algo_file=zoo, n_envs=1, seed=2), evaluation_episodes=3)
    model = build_agent(options.agent)
    train._report(options, model, TrueReturns(), tmp_path)
    assert seen == [model.get_vec_normalize_env()] != [None]
    out = capsys.readouterr().out
    assert "trained 0 steps; true return, mean of 3 episodes" in out
    assert out.index("random policy") < out.index("trained agent") < out.index("in training") < out.index("optimal")
    assert f"TensorBoard tensorboard --logdir {options.logdir}" in out


def test_outcomes_are_shares_of_the_latest_episodes_that_speak_of_them() -> None:
    returns = TrueReturns()
    assert returns.recent_outcomes() == {}
    returns.outcomes = [{"most": 0.0}] * 5 + [{"most": 1.0, "won": 1.0}, {"most": 0.0}]
    assert returns.recent_outcomes(2) == {"most": 0.5, "won": 1.0}


@pytest.mark.parametrize(("limit", "truncated"), [(3, True), (None, False)])
def test_a_played_episode_says_whether_it_was_cut_off(limit, truncated) -> None:
    env = gym.make("CartPole-v1", max_episode_steps=limit or 500)
    env.action_space.seed(0)
    episode = play_episode(env, random_policy(env), seed=0)
    assert (episode.truncated, len(episode) == 3) == (truncated, truncated)


def test_without_a_model_an_episode_of_chance_is_explained() -> None:
    env = gym.make("CartPole-v1")
    policy = _policy(Explain(seed=4), env)
    drawn = [policy(None) for _ in range(8)]
    env.action_space.seed(4)
    assert drawn == [env.action_space.sample() for _ in range(8)]


def test_only_the_arm_with_credit_has_credit_and_one_run_of_each_has_pictures() -> None:
    jobs = compare._jobs(Compare(AgentConfig(env=STEPS), seeds=(3, 4)), Path("runs"), {WITH: 0.9, WITHOUT: 1.0})
    assert [(job.arm, job.config.credit.value, job.discount, job.config.seed, job.pictures) for job in jobs] == [
        (WITH, "lrp", 0.9, 3, 3),
        (WITHOUT, "none", 1.0, 3, 3),
        (WITH, "lrp", 0.9, 4, 0),
        (WITHOUT, "none", 1.0, 4, 0),
    ]
    assert [str(job.folder) for job in jobs[:2]] == [
        "runs/with_credit_discount_0.9_seed_3",
        "runs/without_discount_1_seed_3",
    ]


def test_a_run_gets_a_folder_of_its_own_however_deep(tmp_path) -> None:
    made = [new_run(tmp_path / "a" / "b", "run") for _ in range(2)]
    assert [folder.relative_to(tmp_path).as_posix() for folder in made] == ["a/b/run_1", "a/b/run_2"]


def test_a_run_gets_the_next_free_number_where_another_process_was_faster(tmp_path, monkeypatch) -> None:
    (tmp_path / "run_1").mkdir()
    monkeypatch.setattr(Path, "glob", lambda *_: iter(()))  # as if it had not been there yet
    assert new_run(tmp_path, "run").name == "run_2"
