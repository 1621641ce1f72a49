"""What a person has who installs the wheel and never sees the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder with wheel and sdist."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def site(built, tmp_path_factory) -> Path:
    """Where the wheel is unpacked, as an installer would."""
    folder = tmp_path_factory.mktemp("site")
    (wheel,) = built.glob("*.whl")
    with ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def run(site: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_wheel_holds_the_library_alone_typed_and_with_its_command(site) -> None:
    assert {path.name.split("-")[0] for path in site.iterdir()} == {"rudder_lrp"}
    assert (site / "rudder_lrp" / "py.typed").is_file()
    (entry_points,) = site.glob("*.dist-info/entry_points.txt")
    assert "rudder-lrp = rudder_lrp.__main__:entry" in entry_points.read_text()


def test_wheel_and_sdist_would_be_taken_by_an_index(built) -> None:
    files = [str(path) for path in built.iterdir()]
    assert len(files) == 2
    command = [sys.executable, "-m", "twine", "check", "--strict", *files]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_explanations_need_neither_stable_baselines3_nor_tensorboard_nor_matplotlib(site, tmp_path) -> None:
    missing = (
        "import sys; sys.modules.update(dict.fromkeys(['stable_baselines3', 'tensorboard', 'matplotlib', 'tyro']))"
    )
    code = f"{missing}; import rudder_lrp.lrp; print(rudder_lrp.__file__); from rudder_lrp import DelayedReward"
    found = run(site, tmp_path, "-c", code)
    assert found.returncode == 0, found.stderr
    assert str(site) in found.stdout


def test_in_an_empty_folder_training_explaining_and_comparing_work(site, tmp_path) -> None:
    short = ["--timesteps", "512", "--n-envs", "2"]
    trained = run(site, tmp_path, "-m", "rudder_lrp", "train", *short, "--evaluation-episodes", "1")
    assert trained.returncode == 0, trained.stderr
    explained = run(site, tmp_path, "-m", "rudder_lrp", "explain", "--run", "runs/latest")
    assert explained.returncode == 0, explained.stderr
    seeds = ["--seeds", "0", "--discounts", "1", "--processes", "1"]
    compared = run(site, tmp_path, "-m", "rudder_lrp", "compare", *short, *seeds)
    assert compared.returncode == 0, compared.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["explanation.png", "runs"]
    assert "No verdict on CartPole-v1" in compared.stdout
