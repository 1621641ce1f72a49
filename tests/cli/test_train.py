from __future__ import annotations

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rudder_lrp.cli.explain import Explain, _of_run
from rudder_lrp.cli.main import main
from rudder_lrp.cli.saving import saved_model
from tests.cli.running import STEPS, finished, interrupted

SHORT = ["--env", STEPS, "--timesteps", "4096", "--evaluation-episodes", "2"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, str, str]:
    """A short real run, its folder, and what it printed."""
    logdir = tmp_path_factory.mktemp("runs")
    out, err = finished("train", *SHORT, "--logdir", logdir, timeout=240)
    return logdir / "Steps-v0_PPO_lrp_1", out, err


def test_training_says_first_what_it_does_and_in_the_end_what_came_of_it(trained) -> None:
    folder, out, err = trained
    first = out.splitlines()[0]
    for part in (STEPS, "all paid at the last step", "PPO with lrp credit", "4,096 steps", str(folder)):
        assert part in first
    for line in ("random policy", "trained agent", "mostly one", "predictor", "tensorboard --logdir"):
        assert line in out
    assert "Warning" not in err
    assert "WARNING" not in err


def test_training_leaves_model_predictor_settings_and_the_latest_run(trained) -> None:
    folder, _, _ = trained
    for name in ("model.zip", "predictor.safetensors", "settings.json"):
        assert (folder / name).is_file()
    assert len((folder / "settings.json").read_text().splitlines()) > 20, "a setting a line"
    assert (folder.parent / "latest").resolve() == max(folder.parent.glob("Steps-v0_*"))


def test_tensorboard_has_scalars_outcomes_pictures_the_guide_and_hyperparameters(trained) -> None:
    events = EventAccumulator(str(trained[0])).Reload()
    scalars = set(events.Tags()["scalars"])
    expected = {"true_return", "predicted_return", "loss_last", "loss_along", "explained_variance"}
    expected |= {"q", "residual", "relevance_leak", "steps_moved_back"}
    assert {f"credit/{name}" for name in expected} <= scalars
    assert {"rollout/ep_rew_mean", "outcomes/mostly one", "price/seconds"} <= scalars
    assert "outcomes/other" not in scalars
    assert len([tag for tag in events.Tags()["images"] if tag.startswith("timeline/")]) == 3
    tensors = events.Tags()["tensors"]
    assert "how to read this/text_summary" in tensors
    assert any("custom_scalars" in tag for tag in tensors)
    plugins = events.summary_metadata.values()
    assert "hparams" in {metadata.plugin_data.plugin_name for metadata in plugins}


def test_the_same_command_twice_makes_two_runs_and_leaves_the_first_as_it_was(trained) -> None:
    folder, _, _ = trained
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert main(["train", *SHORT, "--logdir", str(folder.parent)]) == 0
    assert (folder.parent / "Steps-v0_PPO_lrp_2" / "model.zip").is_file()
    assert (folder.parent / "latest").resolve().name == "Steps-v0_PPO_lrp_2"
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("options", "name"), [([], "PPO_lrp"), (["--credit", "none"], "PPO_plain"), (["--algo", "DQN"], "DQN_lrp")]
)
def test_a_run_goes_on_where_it_stopped_by_its_own_settings(options, name, tmp_path, capsys) -> None:
    arguments = ["train", "--env", STEPS, "--evaluation-episodes", "0", "--n-envs", "2"]
    assert main([*arguments, *options, "--logdir", str(tmp_path), "--timesteps", "1024"]) == 0
    latest = str(tmp_path / "latest")
    assert main(["train", "--resume", latest, "--timesteps", "2048"]) == 0
    out = capsys.readouterr().out
    assert "trained 2,048 steps" in out
    assert [path.name for path in tmp_path.iterdir() if path.is_dir() and not path.is_symlink()] == [
        f"Steps-v0_{name}_1"
    ]
    assert main(["train", "--resume", latest, "--timesteps", "2048"]) == 2
    assert "has 2,048 steps already" in capsys.readouterr().err


def test_an_episode_is_explained_by_a_picture_and_a_table(trained, tmp_path, capsys) -> None:
    picture = tmp_path / "explanation.png"
    assert main(["explain", "--run", str(trained[0]), "--output", str(picture), "--top", "3"]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    out = capsys.readouterr().out
    assert "10 steps, return" in out
    assert len(out.splitlines()) == 6
    header, *rows = (line.split() for line in out.splitlines()[1:5])
    assert header[:5] == ["step", "credit", "+-", "true", "predicted"]
    assert all(float(bar) > 0.0 for _, _, bar, *_ in rows)


@pytest.mark.parametrize("algo", ["DQN", "QRDQN"])
def test_an_episode_of_an_agent_that_replays_is_explained_too(algo, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    short = ["--timesteps", "64", "--n-envs", "1", "--evaluation-episodes", "0"]
    assert main(["train", "--env", STEPS, "--algo", algo, *short]) == 0
    assert main(["explain", "--run", "runs/latest"]) == 0


def test_a_predictor_of_another_environment_is_refused(trained, capsys) -> None:
    predictor = str(trained[0] / "predictor.safetensors")
    assert main(["explain", "--predictor", predictor, "--env", "CartPole-v1"]) == 2
    assert "was made for observation_space" in capsys.readouterr().err


def test_interrupted_before_the_first_step_it_names_the_folder(tmp_path, monkeypatch, capsys) -> None:
    def stops(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("rudder_lrp.cli.train._learn", stops)
    assert main(["train", *SHORT, "--logdir", str(tmp_path)]) == 130
    assert f"what was saved is in {tmp_path / 'Steps-v0_PPO_lrp_1'}" in capsys.readouterr().err


def test_an_interrupted_training_saves_what_there_is_names_it_and_ends_with_130(tmp_path) -> None:
    endless = ["train", "--env", STEPS, "--timesteps", 10_000_000, "--logdir", tmp_path]
    err = interrupted(*endless, under_way=lambda: any(tmp_path.glob("*/checkpoint_*")), pause=3)
    folder = tmp_path / "Steps-v0_PPO_lrp_1"
    assert f"saved in {folder}" in err
    assert (folder / "model.zip").is_file()
    assert (folder / "predictor.safetensors").is_file()


def test_a_run_that_has_saved_nothing_has_no_model_to_go_on_from(tmp_path) -> None:
    assert saved_model(tmp_path) is None
    (tmp_path / "model.zip").touch()
    assert saved_model(tmp_path) == tmp_path / "model.zip"


def test_a_run_is_explained_with_its_own_files_but_for_those_that_are_named(trained) -> None:
    folder, _, _ = trained
    own = _of_run(Explain(run=folder))
    assert (own.predictor, own.model) == (folder / "predictor.safetensors", str(folder / "model.zip"))
    assert (own.env, own.algo) == (STEPS, "PPO")
    named = _of_run(Explain(run=folder, model="other.zip", predictor=Path("other.safetensors")))
    assert (named.predictor, named.model) == (Path("other.safetensors"), "other.zip")
