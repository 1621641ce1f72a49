"""Every block of Python in the README and the docs runs alone, in a fresh process."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.py"))
LONG = re.compile(r"\b\d{2,3}_000\b(?=,|\))")
"""Numbers of steps that a test need not take."""


def blocks() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        for at, block in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL)):
            if "--8<--" not in block:
                found.append((f"{page.relative_to(ROOT)}-{at}", block))
    return found


def run(code: str, folder: Path, *arguments: str) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "MPLBACKEND": "agg"}
    command = [sys.executable, "-c", code, *arguments]
    process = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("where", "code"), blocks(), ids=[name for name, _ in blocks()])
def test_a_block_runs_alone(where, code, tmp_path) -> None:
    if "from ray" in code:
        pytest.importorskip("ray.rllib", reason='needs Ray: pip install "rudder-lrp[rllib]"')
    run(LONG.sub("2_048", code), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("tutorial", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_runs_alone_and_draws_its_picture(tutorial, tmp_path) -> None:
    run(LONG.sub("2_048", tutorial.read_text()), tmp_path, str(tmp_path))
    assert [path.name.startswith("tutorial_") for path in tmp_path.glob("*.png")] == [True]


@pytest.mark.parametrize(("where", "code"), blocks(), ids=[name for name, _ in blocks()])
def test_a_block_names_nothing_that_it_does_not_define(where, code, tmp_path) -> None:
    """The quick part of the above: a linter finds what a block took from another one."""
    script = tmp_path / "block.py"
    script.write_text(code)
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F821,F811,E9", str(script)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout


def test_the_pages_have_blocks_and_the_tutorials_are_three() -> None:
    assert len(blocks()) >= 12
    assert len(TUTORIALS) == 3
    for tutorial in TUTORIALS:
        assert f'--8<-- "{tutorial.relative_to(ROOT)}"' in tutorial.with_suffix(".md").read_text()
