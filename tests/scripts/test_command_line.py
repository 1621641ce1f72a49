from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from studies.results import ResultTable

ROOT = Path(__file__).parents[2]


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, str(ROOT / "scripts" / script), *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def run(script: str, *arguments: object) -> tuple[int, str, str]:
    process = start(script, *arguments)
    out, err = process.communicate(timeout=240)
    return process.returncode, out, err


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, str]:
    """A short real run on the coin, its folder, and what it printed."""
    logdir = tmp_path_factory.mktemp("runs")
    code, out, err = run("train.py", "--env", "rudder_lrp/Coin-v0", "--timesteps", 8192, "--logdir", logdir)
    assert code == 0, err
    (folder,) = logdir.iterdir()
    return folder, out


def test_training_says_what_came_of_it_and_where_things_are(trained) -> None:
    folder, out = trained
    for line in ("random policy", "trained agent", "optimal              25.00", "predictor", "tensorboard --logdir"):
        assert line in out
    assert (folder / "model.zip").is_file()
    assert (folder / "predictor.safetensors").is_file()


def test_training_logs_scalars_and_pictures_to_tensorboard(trained) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder, _ = trained
    (log,) = folder.glob("tensorboard*")
    events = EventAccumulator(str(log)).Reload()
    expected = {"true_return", "predicted_return", "loss_last", "loss_along", "explained_variance"}
    expected |= {"q", "residual", "relevance_leak", "steps_moved_back"}
    assert {f"credit/{name}" for name in expected} <= set(events.Tags()["scalars"])
    assert "rollout/ep_rew_mean" in events.Tags()["scalars"]
    assert len([tag for tag in events.Tags()["images"] if tag.startswith("timeline/")]) == 3


def test_an_episode_is_explained_by_a_picture_and_a_table(trained, tmp_path) -> None:
    folder, _ = trained
    picture = tmp_path / "explanation.png"
    predictor, model = folder / "predictor.safetensors", folder / "model.zip"
    arguments = ["--predictor", predictor, "--model", model, "--env", "rudder_lrp/Coin-v0", "--output", picture]
    code, out, err = run("explain.py", *arguments, "--top", 3)
    assert code == 0, err
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "features at work" in out
    assert len(out.splitlines()) == 6


def test_a_predictor_of_another_environment_is_refused(trained) -> None:
    code, _, err = run("explain.py", "--predictor", trained[0] / "predictor.safetensors", "--env", "CartPole-v1")
    assert code == 1
    assert err.count("\n") == 1
    assert "was made for observation_space" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--env", "Nowhere-v0"], "no environment 'Nowhere-v0'"),
        (["--algo", "REINFORCE"], "unknown algorithm 'REINFORCE'; choose one of PPO"),
        (["--env", "rudder_lrp/Coin-v0", "--algo", "SAC"], "SAC"),
        (["--delay", "0"], "delay must be at least 1 step, got 0"),
    ],
)
def test_bad_arguments_of_training_end_in_one_sentence(arguments, message, tmp_path) -> None:
    code, _, err = run("train.py", *arguments, "--logdir", tmp_path, "--timesteps", 100)
    assert code == 1
    assert err.startswith("error: ")
    assert "Traceback" not in err
    assert message in err


def test_an_unknown_credit_is_refused_with_the_choices() -> None:
    code, out, err = run("train.py", "--credit", "magic")
    assert code == 2
    assert "magic" in out + err
    assert "difference" in out + err


def test_an_unwritable_log_folder_is_named(tmp_path) -> None:
    (tmp_path / "occupied").write_text("a file, not a folder")
    code, _, err = run("train.py", "--logdir", tmp_path / "occupied", "--timesteps", 100)
    assert code == 1
    assert "occupied" in err
    assert "Traceback" not in err


def test_an_interrupted_training_saves_what_there_is(tmp_path) -> None:
    arguments = ["--env", "rudder_lrp/Coin-v0", "--timesteps", 10_000_000, "--logdir", tmp_path]
    process = start("train.py", *arguments, "--evaluation-episodes", 2)
    try:
        deadline = time.monotonic() + 120
        while not list(tmp_path.glob("*/tensorboard*/events*")):
            assert time.monotonic() < deadline, "training did not start"
            time.sleep(0.5)
        time.sleep(3)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 0, err
    assert "interrupted after" in out
    assert list(tmp_path.glob("*/model.zip"))
    assert list(tmp_path.glob("*/predictor.safetensors"))


def test_a_comparison_goes_on_where_it_stopped_and_shows_a_table(tmp_path) -> None:
    output = tmp_path / "comparison.jsonl"
    arguments = ["--env", "rudder_lrp/Coin-v0", "--timesteps", 2048, "--seeds", 1, "--seed", 3, "--processes", 1]
    arguments += ["--evaluation-episodes", 5, "--output", output, "--arms", "none"]
    code, first, err = run("compare.py", *arguments)
    assert code == 0, err
    code, second, err = run("compare.py", *arguments, "lrp/leaky")
    assert code == 0, err
    assert "finished      none" in first
    assert "finished      none" not in second
    assert "| Coin-v0 | lrp/leaky | 1 |" in second
    assert [(row["arm"], row["seed"]) for row in ResultTable(output).rows()] == [("lrp/leaky", 3), ("none", 3)]


def test_watch_repair_counts_episodes_for_every_agent_and_goes_on_where_it_stopped(tmp_path) -> None:
    output = tmp_path / "watch_repair.jsonl"
    for seeds in (1, 2):
        code, out, err = run("watch_repair.py", "--seeds", seeds, "--cap", 760, "--processes", 1, "--output", output)
        assert code == 0, err
        assert out.count("seeds 0 to") == (5 if seeds == 1 else 0)
    rows = ResultTable(output).rows()
    assert len(rows) == 10
    assert all(row["episodes"] is None or 750 <= row["episodes"] <= 760 for row in rows)
    assert sum("on_decisive" in row for row in rows) == 2
