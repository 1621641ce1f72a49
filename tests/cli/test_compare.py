from __future__ import annotations

import json
import os
from multiprocessing import Pipe, Process
from pathlib import Path

import pytest

from rudder_lrp.cli.compare import WITH, WITHOUT, Compare, _best, _run, _tuning_jobs
from rudder_lrp.cli.main import main
from rudder_lrp.cli.workers import News, Record, _news
from tests.cli.running import STEPS, finished, interrupted

SHORT = ["--env", STEPS, "--timesteps", "512", "--n-envs", "2", "--processes", "2"]


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    logdir = tmp_path_factory.mktemp("runs")
    options = ["--discounts", "0.9", "1", "--tuning-seeds", "100", "--seeds", "0", "1", "2"]
    out, err = finished("compare", *SHORT, *options, "--logdir", logdir)
    return logdir / "compare_Steps-v0_PPO_1", out, err


def test_the_first_line_says_what_is_compared_and_where_it_goes(compared) -> None:
    folder, out, _ = compared
    first = out.splitlines()[0]
    for part in (STEPS, "all paid at the last step", "PPO with lrp credit", "3 seeds of 512 steps", str(folder)):
        assert part in first


def test_the_discounts_are_printed_with_what_they_were_chosen_by(compared) -> None:
    _, out, _ = compared
    record = json.loads((compared[0] / "comparison.json").read_text())
    tried = record["tuning"][WITHOUT]
    assert set(tried) == {"0.9", "1.0"}
    best = min(tried, key=lambda discount: (-tried[discount], float(discount)))
    assert record["discounts"] == {WITH: 0.99, WITHOUT: float(best)}
    assert f"without: discount {float(best):g}, chosen on other seeds by mean return" in out
    assert "with credit: discount 0.99, not tuned" in out


def test_every_run_stands_in_the_record_and_the_table_with_what_the_environment_names(compared) -> None:
    folder, out, _ = compared
    record = json.loads((folder / "comparison.json").read_text())
    assert {arm: sorted(runs) for arm, runs in record["runs"].items()} == {
        WITH: ["0", "1", "2"],
        WITHOUT: ["0", "1", "2"],
    }
    for run in record["runs"][WITH].values():
        assert 0.0 <= run["final_return"] <= 10.0
        assert run["curve"][-1][0] == 512
    assert "mostly one" in out
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_the_sentence_is_the_last_word_on_the_task(compared) -> None:
    folder, out, _ = compared
    assert json.loads((folder / "comparison.json").read_text())["sentence"] in out


def test_both_mean_curves_are_in_one_chart_of_tensorboard(compared) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(compared[0] / "comparison")).Reload()
    assert {f"comparison/{WITH}", f"comparison/{WITHOUT}"} <= set(events.Tags()["scalars"])


def test_a_worker_that_dies_is_named_with_its_log_and_the_others_stand(tmp_path) -> None:
    options = ["--discounts", "1", "--seeds", "0", "1", "--logdir", tmp_path]
    out, _ = finished("compare", *SHORT, *options, "--env", "tests.cli.steps:Dying-v0", "--n-envs", 1, code=1)
    folder = tmp_path / "compare_Dying-v0_PPO_1"
    log = folder / "without_discount_1_seed_1" / "log.txt"
    assert f"the run without, discount 1, seed 1 died; its log is {log}" in out
    assert "the end of this one\nthe process ended with SIGKILL" in log.read_text()
    runs = json.loads((folder / "comparison.json").read_text())["runs"]
    assert {arm: list(of_arm) for arm, of_arm in runs.items()} == {WITH: ["0"], WITHOUT: ["0"]}


def test_where_no_discount_can_be_chosen_the_dead_are_named_with_their_logs(tmp_path) -> None:
    options = ["--discounts", "0.9", "1", "--tuning-seeds", "1", "--seeds", "0", "2", "--logdir", tmp_path]
    out, err = finished("compare", *SHORT, *options, "--env", "tests.cli.steps:Dying-v0", "--n-envs", 1, code=1)
    log = tmp_path / "compare_Dying-v0_PPO_1" / "tuning" / "without_discount_0.9_seed_1" / "log.txt"
    assert "no run ended well that a discount could be chosen by" in out
    assert f"the run without, discount 0.9, seed 1 died; its log is {log}" in out
    assert "Traceback" not in err


def test_a_worker_that_dies_while_it_speaks_is_dead(tmp_path) -> None:
    job = _tuning_jobs(Compare(), tmp_path)[0]
    job.folder.mkdir(parents=True)
    ours, theirs = Pipe(duplex=False)
    os.write(theirs.fileno(), b"\0\0\0\x10half")
    theirs.close()
    process = Process(target=os.getpid)
    process.start()
    running = {ours: (job, process)}
    assert _news(ours, running).died
    assert running == {}


def test_runs_stand_in_the_order_of_their_seeds_whichever_ends_first(monkeypatch) -> None:
    jobs = _tuning_jobs(Compare(), Path("nowhere"))
    record = Record(1.0, 0.0, 0.0)
    monkeypatch.setattr(
        "rudder_lrp.cli.compare.run_all", lambda jobs, _: (News(job, record=record) for job in reversed(jobs))
    )
    assert list(_run(jobs, Compare())) == jobs


@pytest.mark.parametrize(("begun", "pause"), [("*/settings.json", 0.7), ("*/tuning/*0/log.txt", 2)])
def test_an_interrupted_comparison_ends_its_workers_and_says_130(begun, pause, tmp_path) -> None:
    endless = ["compare", *SHORT, "--timesteps", 10_000_000, "--logdir", tmp_path]
    err = interrupted(*endless, under_way=lambda: any(tmp_path.glob(begun)), pause=pause)
    assert "the runs that had ended are in" in err


def test_interrupted_while_it_reports_it_names_what_was_saved(tmp_path, monkeypatch, capsys) -> None:
    def stops(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("rudder_lrp.cli.compare._report", stops)
    monkeypatch.setattr("rudder_lrp.cli.compare._run", lambda jobs, _: {job: Record(1.0, 0.0, 0.0) for job in jobs})
    assert main(["compare", *SHORT, "--logdir", str(tmp_path)]) == 130
    assert f"the runs that had ended are in {tmp_path / 'compare_Steps-v0_PPO_1'}" in capsys.readouterr().err


def test_among_discounts_that_are_level_the_smallest_is_taken() -> None:
    options = Compare()
    jobs = _tuning_jobs(options, Path("nowhere"))
    level = {job: Record(3.0, 0.0, 0.0) for job in jobs}
    assert _best(level, WITHOUT, options.discounts) == 0.99
    better = level | {job: Record(4.0, 0.0, 0.0) for job in jobs if job.discount == 0.999}
    assert _best(better, WITHOUT, options.discounts) == 0.999


def test_only_the_rival_is_tuned_by_default() -> None:
    jobs = _tuning_jobs(Compare(), Path("nowhere"))
    assert {job.arm for job in jobs} == {WITHOUT}
    assert len(jobs) == 9
    assert not {job.config.seed for job in jobs} & set(Compare().seeds)
