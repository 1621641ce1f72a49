"""Changes one operator, number or argument of a room's code at a time and asks whether a test notices, by mutmut.

mutmut makes the mutants, finds which tests run through which function, and runs those, the quickest first. Here they
are drawn by a seed, run in a copy of the working tree, and counted; one that nothing noticed is written into the code
and meets all tests of the room, since mutmut switches it on after imports. Two kinds of lines are left alone, as the
wording of a sentence is no behaviour: `raise`, whose condition is mutated, and `warnings.warn`.
"""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
UNTOUCHED = (r"^\s*raise\b", r"^\s*warnings\.warn\(")
OPTIONS = ("-m", "not slow", "--hypothesis-seed=0", "--disable-warnings")
"""Of pytest, so that a mutant meets the same tests each time."""
NOTICED = {1, 3, 24, -24, 36, 152, 255, -9, -11}
"""Exit codes of a mutant's tests: failed, out of time, or crashed; mutmut's own reading of them."""

_LONGEST = 900.0  # seconds; a mutant whose tests take longer never ends

SB3 = (
    "evaluation",
    "callbacks",
    "lessons_from_elsewhere",
    "matrix",
    "replay_buffers",
    "resume",
    "rollout_buffers",
    "vec_env",
)
TESTS = {
    "lrp": ("tests/lrp",),
    "lstm.py": ("tests/test_lstm.py", "tests/lrp", "tests/prediction"),
    "storage.py": ("tests/test_storage.py", "tests/persistence"),
    "wrappers.py": ("tests/test_wrappers.py",),
    "episodes": ("tests/episodes", "tests/redistribution", "tests/sb3/test_lessons_from_elsewhere.py"),
    "prediction": ("tests/prediction", "tests/redistribution", "tests/persistence"),
    "redistribution": ("tests/redistribution", "tests/test_wrappers.py"),
    # Without those that count memory, which grows by what mutmut notes down.
    "sb3": tuple(f"tests/sb3/test_{of}.py" for of in SB3),
    "persistence": ("tests/persistence", "tests/sb3/test_resume.py"),
}
"""Where else than in the folder of its name a room is tested."""

APART = ("tests/rllib",)
"""Tests whose own processes are lost in a fork, which is how mutmut runs them: each mutant gets a fresh process."""


@dataclass(frozen=True)
class Survivor:
    """A mutant that no test noticed: file, line and the change as a diff."""

    name: str
    file: str
    line: int
    diff: str


def prepare(room: str, folder: Path) -> None:
    """Copy the working tree, as far as git knows it, and tell mutmut what to mutate by which tests."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    )
    for name in listed.stdout.decode().split():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    with (folder / "pyproject.toml").open("a") as file:
        file.write(_settings(room))


def tests_of(room: str) -> tuple[str, ...]:
    """Where the tests of a room are, or of the one that a module of it belongs to."""
    names = Path(room).parts[1:]
    return next((TESTS[name] for name in reversed(names) if name in TESTS), (f"tests/{names[0]}",))


def _settings(room: str) -> str:
    copied = ("rudder_lrp", "envs", "agents", "studies", "scripts", "docs", "results", "README.md", "mkdocs.yml")
    lines = {"source_paths": [room], "also_copy": copied, "pytest_add_cli_args_test_selection": tests_of(room)}
    lines |= {"pytest_add_cli_args": OPTIONS, "do_not_mutate_patterns": UNTOUCHED}
    return "\n[tool.mutmut]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in lines.items())


def make(folder: Path) -> list[str]:
    """Write all mutants, for which mutmut has no command of its own, and return their names."""
    code = (
        "from mutmut.__main__ import Path, copy_also_copy_files, copy_src_dir, create_mutants, setup_source_paths\n"
        "Path('mutants').mkdir(exist_ok=True)\n"
        "copy_src_dir(), copy_also_copy_files(), setup_source_paths(), create_mutants(1)"
    )
    _python(folder, "-c", code)
    return sorted(_exit_codes(folder))


def run(folder: Path, names: list[str], tests: tuple[str, ...]) -> dict[str, int]:
    """Exit code of the tests of each mutant."""
    if tests == APART:
        _python(folder, "-m", "pytest", "-x", *OPTIONS, *tests)  # they pass, as long as nothing is changed
        return {name: _written(folder, name, tests) for name in names}
    _python(folder, "-m", "mutmut", "run", "--max-children", "1", *names)
    codes = _exit_codes(folder)
    return {name: codes[name] if codes[name] in NOTICED else _written(folder, name, tests) for name in names}


def _written(folder: Path, name: str, tests: tuple[str, ...]) -> int:
    """Exit code of all tests with the mutant in the code itself: mutmut switches it on when imports are done."""
    file = folder / survivor(folder, name).file
    source = file.read_text()
    _python(folder, "-m", "mutmut", "apply", name)
    try:
        _python(folder, "-m", "pytest", "-x", "-p", "no:randomly", *OPTIONS, *tests, seconds=_LONGEST)
    except (RuntimeError, subprocess.TimeoutExpired):
        return 1
    finally:
        file.write_text(source)
    return 0


def survivor(folder: Path, name: str) -> Survivor:
    """Where a mutant differs from the code."""
    lines = _python(folder, "-m", "mutmut", "show", name).splitlines()
    file = next(line for line in lines if line.startswith("--- ")).split()[1]
    changed = [line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    diff = "\n".join(f"{line[0]} {line[1:].strip()}" for line in changed)
    return Survivor(name, file, _line(folder / file, name, changed[0][1:]), diff)


def _line(file: Path, name: str, text: str) -> int:
    """Number of the first line that reads `text` in the function that the mutant `name` is of."""
    *classes, function = name.rpartition(".")[2].partition("__mutmut")[0].removeprefix("x").strip("_ǁ").split("ǁ")
    source = file.read_text()
    body: list[ast.stmt] = ast.parse(source).body
    for wanted in (*classes, function):
        found = next(node for node in body if getattr(node, "name", "").strip("_") == wanted.strip("_"))
        body = getattr(found, "body", [])
    lines = [line.strip() for line in source.splitlines()]
    return next((at for at in range(found.lineno, len(lines) + 1) if lines[at - 1] == text.strip()), found.lineno)


def _exit_codes(folder: Path) -> dict[str, int]:
    """Of all mutants that were made; None of those that were not tested."""
    codes: dict[str, int] = {}
    for path in (folder / "mutants").rglob("*.py.meta"):
        codes |= json.loads(path.read_text())["exit_code_by_key"]
    return codes


def _python(folder: Path, *arguments: str, seconds: float | None = None) -> str:
    """Run Python in `folder`, and nothing of this checkout, for so many seconds at most.

    Raises:
        RuntimeError: with the end of what it says, if it fails.
        subprocess.TimeoutExpired: if it has not ended by then.
    """
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
    )
    if done.returncode:
        raise RuntimeError(f"{arguments[1]} stopped: {(done.stdout + done.stderr)[-2000:]}")
    return done.stdout
