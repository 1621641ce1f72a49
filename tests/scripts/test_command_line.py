from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

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
    output = tmp_path / "of_my_own.jsonl"
    arguments = ["--seeds", 1, "--cap", 760, "--processes", 1, "--output", output]
    code, first, err = run("watch_repair.py", *arguments)
    assert code == 0, err
    lines = output.read_text().splitlines(keepends=True)
    output.write_text("".join(line for line in lines if 'learning rate 0.1"' not in line))
    code, second, err = run("watch_repair.py", *arguments)
    assert code == 0, err
    assert [out.count("seeds 0 to") for out in (first, second)] == [5, 2]
    rows = ResultTable(output, "watch_repair").rows()
    assert sorted(row["agent"] for row in rows) == sorted(json.loads(line)["agent"] for line in lines)
    assert all(row["episodes"] is None or 750 <= row["episodes"] <= 760 for row in rows)
    assert sum("on_decisive" in row for row in rows) == 1
