"""Models and data from files: right, or refused before anything in them is executed."""

from __future__ import annotations

import io
import json
import pickle
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from rudder_lrp.lrp import LRP
from rudder_lrp.lrp.archive import explain_file, load_model


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.core = nn.Embedding(9, 4), nn.GRU(4, 3, batch_first=True)
        self.norm, self.head = nn.LayerNorm(3), nn.Linear(3, 2)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.core(self.embedding(tokens))[0]).mean(1))


TOKENS = torch.arange(8).view(2, 4)


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("programs") / "model.pt2"
    sizes = {0: torch.export.Dim("batch", min=1, max=64)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of PyTorch about its own recurrent layers
        torch.export.save(torch.export.export(Small().eval(), (TOKENS,), dynamic_shapes=(sizes,)), path)
    return path


@pytest.fixture
def data(tmp_path) -> Path:
    np.savez(tmp_path / "data.npz", inputs=TOKENS.numpy(), target=np.array([0, 1]))
    return tmp_path / "data.npz"


def test_an_exported_program_is_explained_as_the_model_it_was_made_from(program, data) -> None:
    found = explain_file(program, data)
    expected, ledger = LRP(Small()).attribute(TOKENS, torch.tensor([0, 1]), return_ledger=True)
    torch.testing.assert_close(found.relevance, expected)
    assert found.ledger.biases.keys() == ledger.biases.keys() == {"head", "norm", "core"}
    torch.testing.assert_close(found.ledger.total(), Small().eval()(TOKENS)[[0, 1], [0, 1]])
    assert explain_file(program, data, target=1).relevance[1].equal(found.relevance[1])


class Shifted(nn.Module):
    """With a tensor that is neither parameter nor buffer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.head, self.shift = nn.Linear(3, 2), torch.tensor([1.0, 2.0, 3.0])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(x + self.shift)


def test_an_exported_program_may_hold_tensors_of_its_own(tmp_path) -> None:
    x = torch.randn(2, 3)
    torch.export.save(torch.export.export(Shifted().eval(), (x,)), tmp_path / "model.pt2")
    with zipfile.ZipFile(tmp_path / "model.pt2") as archive:
        assert any("constants/tensor_" in name for name in archive.namelist())
    found, ledger = LRP(load_model(str(tmp_path / "model.pt2"))).attribute(x, 1, return_ledger=True)
    torch.testing.assert_close(found, LRP(Shifted()).attribute(x, 1))
    torch.testing.assert_close(ledger.total(), Shifted().eval()(x)[:, 1])


def test_a_model_that_can_be_imported_is_explained(data) -> None:
    found = explain_file("tests.lrp.test_archive:Small", data)
    torch.testing.assert_close(found.relevance, LRP(Small()).attribute(TOKENS, torch.tensor([0, 1])))


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> object:
        return Path.touch, (self.path,)


def changed(program: Path, tmp_path: Path, part: str, change) -> Path:
    """The archive with one part replaced."""
    path = tmp_path / "changed.pt2"
    with zipfile.ZipFile(program) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(old.read(name)) if name.endswith(part) else old.read(name))
        if not any(name.endswith(part) for name in old.namelist()):
            new.writestr("model/" + part, change(b""))
    return path


def pickled(path: Path) -> bytes:
    buffer = io.BytesIO()
    torch.save(({"x": Bomb(path)},), buffer)
    return buffer.getvalue()


def with_pickle(config: bytes) -> bytes:
    return config.replace(b'"use_pickle": false', b'"use_pickle": true')


def with_expression(model: bytes) -> bytes:
    def rewritten(value):
        if isinstance(value, dict):
            return {k: "__import__('os')" if k == "expr_str" else rewritten(v) for k, v in value.items()}
        return [rewritten(part) for part in value] if isinstance(value, list) else value

    return json.dumps(rewritten(json.loads(model))).encode()


@pytest.mark.parametrize("part", ["sample_inputs", "use_pickle", "custom", "expression"])
def test_what_a_file_would_execute_is_refused_and_not_executed(program, tmp_path, part) -> None:
    trace = tmp_path / "executed"
    path = {
        "sample_inputs": lambda: changed(program, tmp_path, "data/sample_inputs/model.pt", lambda _: pickled(trace)),
        "use_pickle": lambda: changed(program, tmp_path, "weights_config.json", with_pickle),
        "custom": lambda: changed(
            program, tmp_path, "data/constants/opaque_obj_0", lambda _: pickle.dumps(Bomb(trace))
        ),
        "expression": lambda: changed(program, tmp_path, "models/model.json", with_expression),
    }[part]()
    with pytest.raises(ValueError, match="would be executed on loading"):
        load_model(path)
    assert not trace.exists()


def test_other_models_are_refused_in_one_sentence(tmp_path) -> None:
    torch.jit.script(nn.Linear(2, 1)).save(tmp_path / "script.pt")
    torch.save(nn.Linear(2, 1), tmp_path / "pickle.pth")
    (tmp_path / "no.pt2").write_bytes(b"nothing")
    for source, message in {
        tmp_path / "script.pt": "unpickled or run as TorchScript",
        tmp_path / "pickle.pth": "unpickled or run as TorchScript",
        tmp_path / "no.pt2": "no archive of torch.export",
        "model": r"must be a \.pt2 file or module:factory",
        "nowhere:model": "cannot be imported",
    }.items():
        with pytest.raises(ValueError, match=message) as refusal:
            load_model(source)
        assert "\n" not in str(refusal.value)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        load_model(tmp_path / "missing.pt2")
    with pytest.raises(TypeError, match=r"must return an nn\.Module"):
        load_model("pathlib:Path")


def test_other_data_is_refused_in_one_sentence(tmp_path) -> None:
    np.savez(tmp_path / "objects.npz", inputs=np.array([{}], dtype=object))
    np.savez(tmp_path / "other.npz", x=np.zeros(2))
    np.savez(tmp_path / "words.npz", inputs=np.array(["a", "b"]))
    (tmp_path / "garbage.npz").write_bytes(b"nothing")
    for name, message in {
        "objects.npz": "holds pickled objects",
        "other.npz": "must hold an array 'inputs', got x",
        "garbage.npz": r"is no archive of NumPy; save the arrays by numpy\.savez",
        "words.npz": r"inputs in words\.npz are <U1; save numbers",
    }.items():
        with pytest.raises(ValueError, match=message):
            explain_file("tests.lrp.test_archive:Small", tmp_path / name)
    with pytest.raises(ValueError, match=r"must be an \.npz file"):
        explain_file("tests.lrp.test_archive:Small", tmp_path / "data.csv")


def test_what_the_model_itself_does_not_take_is_said_with_the_shape_of_the_data(tmp_path) -> None:
    np.savez(tmp_path / "data.npz", inputs=np.zeros((1, 2, 5)))
    with pytest.raises(
        ValueError, match=r"does not take the inputs, \[1, 2, 5\] of torch.float64: .*save what it takes"
    ):
        explain_file("tests.lrp.test_archive:signals", tmp_path / "data.npz", 0)


def signals() -> nn.Module:
    torch.manual_seed(0)
    return Last().double()


class Last(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.core, self.head = nn.GRU(4, 3, batch_first=True), nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.core(x)[0][:, -1])
