from __future__ import annotations

import sys
from pathlib import Path

import pytest

from rudder_lrp.cli.main import main
from tests.cli.running import STEPS, interrupted


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--env", "CartPol-v1"], "no environment 'CartPol-v1'; the nearest are CartPole-v1"),
        (["train", "--env", "no_such_module:Name-v0"], "importing no_such_module failed"),
        (["train", "--algo", "REINFORCE"], "unknown algorithm 'REINFORCE'; choose one of A2C"),
        (["train", "--env", "CartPole-v1", "--algo", "SAC"], "SAC cannot act in CartPole-v1"),
        (["train", "--delay", "0"], "delay must be at least 1 step, got 0"),
        (["train", "--env", "CartPole-v1", "--delay", "501"], "none at all in episodes of at most 500 steps"),
        (["train", "--algo-kwargs", "n_stepz=7"], "PPO takes no hyperparameter 'n_stepz'; the nearest is n_steps"),
        (["train", "--algo-kwargs", "n_steps"], "'n_steps' is no hyperparameter; write key=value"),
        (["train", "--algo-file", "FILE"], "PPO takes no hyperparameter 'n_stepz'"),
        (["train", "--logdir", "OCCUPIED"], "is a file; name another --logdir"),
        (["train", "--resume", "EMPTY"], "is no run"),
        (["train", "--log-level", "loud"], "no log level 'loud'"),
        (["train", "--timesteps", "0"], "--timesteps must be at least 1, got 0"),
        (["train", "--timesteps", "-5"], "--timesteps must be at least 1, got -5"),
        (["train", "--threads", "0"], "--threads must be at least 1, got 0"),
        (["train", "--checkpoint-every", "0"], "--checkpoint-every must be at least 1, got 0"),
        (["train", "--evaluation-episodes", "-1"], "--evaluation-episodes must be at least 0, got -1"),
        (["train", "--n-envs", "0"], "--n-envs must be at least 1, got 0"),
        (["train", "--seed", "-1"], "--seed must be at least 0, got -1"),
        (["train", "--algo-kwargs", "learning_rate=abc"], "PPO refuses its hyperparameters: The learning rate"),
        (["train", "--algo-kwargs", "batch_size=abc"], "PPO refuses its hyperparameters: '>' not supported"),
        (["train", "--algo-file", "UNCOUNTED"], "says n_envs is 0, where a whole number of at least 1 is needed"),
        (["train", "--algo-file", "BINARY"], "binary.yml is no YAML"),
        (["train", "--env", "ALE/Pong-v5"], "install the one that does, and name it, as in its_module:ALE/Pong-v5"),
        (["train", "--env", "much/too/Deep-v0"], "no imported package registers environments of much/too/;"),
        (
            ["train", "--env", "tests.cli.broken:Any-v0"],
            "failed (ZeroDivisionError: division by zero); mend the module",
        ),
        (["train", "--env", "tests.cli.steps:Nested-v0"], "Nested-v0 cannot be built: Nested observation spaces"),
        (["train", "--env", "tests.cli.steps:FromOne-v0"], "counts its actions from 1, and Stable-Baselines3 from 0"),
        (["train", "--env", STEPS, "--algo", "MaskablePPO"], "it has no method action_masks; give it one, or choose"),
        (["explain"], "nothing to explain with"),
        (["explain", "--run", "EMPTY"], "is no run"),
        (["explain", "--predictor", "missing.safetensors"], "missing.safetensors"),
        (["explain", "--run", "EMPTY", "--top", "-1"], "--top must be at least 0, got -1"),
        (["compare", "--timesteps", "0"], "--timesteps must be at least 1, got 0"),
        (["compare", "--processes", "-1"], "--processes must be at least 0, got -1"),
        (["compare", "--seeds", "0", "-2"], "--seeds must be at least 0, got -2"),
        (["compare", "--seeds", "1", "1"], "--seeds must name different values"),
        (["compare", "--seeds", "1", "100"], "seed 100 is for tuning, too"),
        (["compare", "--credit", "none"], "nothing to compare"),
        (["compare", "--discounts", "1.5"], "discounts lie in (0, 1]"),
        (["compare", "--algo-kwargs", "gamma=1"], "give --discounts"),
        (["compare", "--env", "Nowhere-v0"], "no environment 'Nowhere-v0'"),
    ],
)
def test_a_wrong_argument_ends_in_one_sentence_and_writes_nothing(
    arguments, message, tmp_path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "occupied").write_text("a file, not a folder")
    (tmp_path / "empty").mkdir()
    (tmp_path / "hyperparameters.yml").write_text("CartPole-v1:\n  n_stepz: 7\n")
    (tmp_path / "uncounted.yml").write_text("CartPole-v1:\n  n_envs: 0\n")
    (tmp_path / "binary.yml").write_bytes(b"\x80\x81")
    paths = {"UNCOUNTED": "uncounted.yml", "BINARY": "binary.yml"}
    paths |= {"OCCUPIED": "occupied", "EMPTY": "empty", "FILE": "hyperparameters.yml"}
    before = sorted(tmp_path.rglob("*"))
    assert main([paths.get(argument, argument) for argument in arguments]) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert out == ""
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--credit", "magic"], "magic"),
        (["--no-such-option"], "no-such-option"),
        (["--redistribution.lesson-capacity", "8"], "lesson_capacity=8 lessons"),
    ],
)
def test_an_option_that_cannot_be_is_refused_with_status_2(arguments, message, capsys) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["train", *arguments])
    assert refused.value.code == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_from_the_wheel_alone_an_environment_of_the_checkout_says_what_to_install(monkeypatch, capsys) -> None:
    import gymnasium as gym

    for known in [known for known in gym.registry if known.startswith("rudder_lrp/")]:
        monkeypatch.delitem(gym.registry, known)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["train", "--env", "rudder_lrp/KeyToDoor-v0"]) == 2
    assert "come with a checkout" in capsys.readouterr().err


def test_sb3_contrib_that_is_missing_names_its_extra(monkeypatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "sb3_contrib", None)
    assert main(["train", "--algo", "TRPO"]) == 2
    assert 'pip install "rudder-lrp[contrib]"' in capsys.readouterr().err


def test_the_version_is_that_of_the_package(capsys) -> None:
    import rudder_lrp

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"rudder-lrp {rudder_lrp.__version__}\n"


def test_a_failure_on_the_way_is_no_wrong_argument(tmp_path, monkeypatch) -> None:
    from tests.cli.steps import Steps

    def fails(self, action):
        raise ValueError("the environment broke")

    monkeypatch.setattr(Steps, "step", fails)
    with pytest.raises(RuntimeError, match="failed after 0 steps"):
        main(["train", "--env", STEPS, "--logdir", str(tmp_path)])
    assert Path(tmp_path / "Steps-v0_PPO_lrp_1").is_dir()


def test_interrupted_while_it_is_still_importing_it_says_so(tmp_path) -> None:
    assert "saved" in interrupted("train", "--env", STEPS, "--logdir", tmp_path, under_way=lambda: True, pause=1.5)
