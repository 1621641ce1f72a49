from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from rudder_lrp.storage import DamagedFileError, check_count, check_tensors, read_tensors, write_tensors
from tests.damage import damaged

TENSORS = {"a": torch.arange(6.0).view(2, 3), "empty": torch.empty(0, dtype=torch.float64), "scalar": torch.tensor(3)}


def test_what_is_written_is_read(tmp_path) -> None:
    path = write_tensors(tmp_path / "new" / "folder" / "file", TENSORS, "things 2", {"n": 1, "infinite": float("inf")})
    tensors, header = read_tensors(path, "things 2")
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)
    assert header == {"n": 1, "infinite": float("inf")}
    assert [p.name for p in path.parent.iterdir()] == ["file"]


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_flipped_bit_and_any_cut_is_refused(tmp_path, data) -> None:
    path = write_tensors(tmp_path / "file", TENSORS, "things 2", {"n": 1})
    path.write_bytes(data.draw(damaged(path.read_bytes())))
    try:
        tensors, header = read_tensors(path, "things 2")
    except ValueError:
        return
    # A flip of a letter's case in the padding or in a name that nobody reads changes nothing.
    assert header == {"n": 1}
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)


@pytest.mark.parametrize("text", ["[" * 100_000, "[1]", "{", '{"n": NaN', None])
def test_headers_that_are_no_tables_are_refused(tmp_path, monkeypatch, text) -> None:
    monkeypatch.setattr(json, "dumps", lambda _: text)
    metadata = {"kind": "things 2"}
    if text is None:
        save_file(TENSORS, tmp_path / "file", metadata)
    else:
        write_tensors(tmp_path / "file", TENSORS, "things 2", {})
    monkeypatch.undo()
    with pytest.raises(DamagedFileError, match=r"header|checksum"):
        read_tensors(tmp_path / "file", "things 2")


def test_other_kinds_and_versions_are_refused_by_name(tmp_path) -> None:
    path = write_tensors(tmp_path / "file", TENSORS, "many things 1", {})
    remedy = "load it with the version that wrote it, or train anew"
    with pytest.raises(
        ValueError, match=f"'many things 1' and this version of rudder_lrp reads 'many things 2'; {remedy}"
    ):
        read_tensors(path, "many things 2")
    with pytest.raises(ValueError, match="holds 'many things 1', not 'many others 1'"):
        read_tensors(path, "many others 1")
    save_file(TENSORS, path)
    with pytest.raises(ValueError, match="holds 'something unknown'"):
        read_tensors(path, "things 2")


def test_what_is_no_regular_file_is_refused_and_not_waited_for(tmp_path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "zeros").symlink_to("/dev/zero")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("pipe", "folder", "zeros"):
        with pytest.raises(DamagedFileError, match="is no regular file"):
            read_tensors(tmp_path / name, "things 2")
    for name in ("dangling", "nowhere"):
        with pytest.raises(FileNotFoundError, match="no things 2 at"):
            read_tensors(tmp_path / name, "things 2")


def test_each_difference_from_what_is_expected_is_named() -> None:
    good = {"a": torch.zeros(2)}
    check_tensors("file", good, good)
    for bad, sentence in (
        ({}, "lacks tensor 'a'"),
        ({**good, "b": torch.zeros(1)}, "holds an unknown tensor 'b'"),
        ({"a": torch.zeros(3)}, r"'a' is \(3,\) of torch.float32, where \(2,\) of torch.float32"),
        ({"a": torch.zeros(2, dtype=torch.float64)}, "torch.float64, where"),
        ({"a": torch.tensor([0.0, float("nan")])}, "'a' holds NaN or infinity"),
        ({"a": torch.tensor([0.0, float("inf")])}, "'a' holds NaN or infinity"),
    ):
        with pytest.raises(DamagedFileError, match=sentence):
            check_tensors("file", bad, good)


@pytest.mark.parametrize("value", [-1, 11, 1.0, True, "1", None])
def test_counts_are_whole_numbers_in_range(value) -> None:
    assert check_count("file", {"n": 10}, "n", most=10) == 10
    with pytest.raises(DamagedFileError, match=r"'n' is .* where a whole number from 0 to 10 is needed"):
        check_count("file", {"n": value}, "n", most=10)


def test_a_file_that_memory_cannot_hold_is_refused_with_its_size(tmp_path, monkeypatch) -> None:
    path = write_tensors(tmp_path / "file", TENSORS, "things 2", {})

    def out_of_memory(_: Path) -> bytes:
        raise MemoryError

    monkeypatch.setattr(Path, "read_bytes", out_of_memory)
    with pytest.raises(DamagedFileError, match=f"has {path.stat().st_size} bytes, more than memory holds"):
        read_tensors(path, "things 2")
