"""Whether what is said of the number and the age of lessons can be believed."""

from __future__ import annotations

import numpy as np

from agents.deep.presets import AgentConfig, build_agent
from envs import ChargeDischarge
from envs.true_credit import play, play_side_by_side
from rudder_lrp.episodes.features import TransitionFeatures
from studies.provenance import made_with
from studies.proving_ground.credit_truth import played_episodes, true_credits
from studies.proving_ground.harness import record
from studies.proving_ground.lesson_study import Judge, LessonStudy, StudiedPolicies
from studies.proving_ground.report import suite_tables
from studies.proving_ground.suites import SUITES
from studies.proving_ground.trials import Job
from studies.results import ResultTable

QUICK = 150  # updates


def at_random(observations: np.ndarray) -> np.ndarray:
    return np.full((len(observations), 2), 0.5)


def test_episodes_side_by_side_are_those_that_are_played_alone() -> None:
    alone = [play(ChargeDischarge(10), at_random, seed) for seed in range(5, 75)]
    together = play_side_by_side([ChargeDischarge(10) for _ in range(3)], at_random, [5, 6, 7])
    in_chunks = list(played_episodes(ChargeDischarge(10), at_random, 70, 5))
    assert [len(together), len(in_chunks)] == [3, 70]
    for found in (together, in_chunks):
        for one, other in zip(found, alone, strict=False):
            np.testing.assert_array_equal(one.observations, other.observations)
            np.testing.assert_array_equal(one.actions, other.actions)
            np.testing.assert_array_equal(one.rewards, other.rewards)
            assert one.situations == other.situations


def test_more_lessons_of_one_policy_bring_credit_nearer_to_its_true_one() -> None:
    task = ChargeDischarge(10)
    played = list(played_episodes(task, at_random, 60, 0))
    features = TransitionFeatures(task.observation_space, task.action_space)
    true = true_credits(task, at_random, played)
    judges = [Judge(task, played, true, features, QUICK, seed) for seed in range(3)]
    lessons = judges[0].lessons_of(at_random, 400)
    few, many = ([judge.truth_after(lessons[:count]) for judge in judges] for count in (10, 400))
    assert mean(many, "error") < 0.6 * mean(few, "error")
    assert mean(many, "explained_variance") > max(mean(few, "explained_variance"), 0.8)


def mean(truths: list[dict[str, float]], name: str) -> float:
    return float(np.mean([truth[name] for truth in truths]))


def test_lessons_are_of_the_policies_that_an_agent_had_so_long_before_its_end() -> None:
    config = AgentConfig("rudder_lrp/ChargeDischarge10-v0", n_envs=2)
    model = build_agent(config, n_steps=64, batch_size=64)
    study = LessonStudy((10, 20), ages=(0.5, 1.0), aged=20, updates=QUICK)
    studied, first = StudiedPolicies(study, 512, seed=0), weights(model.policy)
    model.learn(512, callback=studied)
    np.testing.assert_array_equal(weights(studied.kept[1.0]), first)
    assert np.abs(weights(studied.kept[0.5]) - first).max() > 0.0
    assert np.abs(weights(studied.kept[0.5]) - weights(model.policy)).max() > 0.0
    found = studied.found(model)
    assert [count for count, _ in found["by_lessons"]] == [10, 20]
    assert [age for age, _ in found["by_age"]] == [0.5, 1.0]
    truths = [truth for part in ("by_lessons", "by_age") for _, truth in found[part]] + [found["in_hindsight"]]
    assert len({truth["error"] for truth in truths}) == len({truth["error_last"] for truth in truths}) == 5


def test_a_study_s_runs_are_kept_beside_longer_ones_of_the_same_task_and_told_apart(tmp_path) -> None:
    table, tasks = ResultTable(tmp_path / "credit.jsonl"), (SUITES["lessons"].tasks[0], SUITES["credit"].tasks[0])
    for at, task in enumerate(tasks):
        record(table, Job(task, "lrp/minimal", (10,)), {10: {"status": "finished", "error": at, **made_with()}})
    found = {name: suite_tables(name, tmp_path) for name in ("lessons", "credit")}
    assert [[run["error"] for run in runs["lrp/minimal"]] for ((_, runs),) in found.values()] == [[0], [1]]


def weights(policy) -> np.ndarray:
    return np.concatenate([weight.detach().numpy().ravel() for weight in policy.parameters()])
