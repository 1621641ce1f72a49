"""Programs of `torch.export` from files that are not trusted: what would be executed on loading is refused before.

A `.pt2` file is a zip archive of tensors and JSON. PyTorch unpickles some of its parts (sample inputs, pickled tensors,
custom objects), evaluates the expressions of symbolic sizes, and looks operators up by name. None of these may be more
than it has to be.
"""

from __future__ import annotations

import io
import json
import operator
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

_FUNCTIONS = """
    Symbol Integer Add Mul Pow Max Min FloorDiv CeilDiv CleanDiv Mod PythonMod ModularIndexing Equality Unequality
    Eq Ne Le Lt Ge Gt GreaterThan LessThan StrictGreaterThan StrictLessThan positive
    nonnegative integer True False oo int_oo
"""
_NAMES = frozenset(_FUNCTIONS.split())
_SYMBOL = re.compile(r"\b[su]\d+\b|'[su]\d+'")
_REST = re.compile(r"[\w\s+*/(),<>=-]*")


def load_exported(path: Path) -> nn.Module:
    """The program of a `.pt2` file as a module.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is of another kind, or something in it would be executed.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}; save the model by torch.export.save")
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path.name} is no archive of torch.export; save the model by torch.export.save")
    with zipfile.ZipFile(path) as archive:
        parts = {name.partition("/")[2]: name for name in archive.namelist()}
        if not any(part.startswith("models/") for part in parts):
            raise ValueError(f"{path.name} is no archive of torch.export; save the model by torch.export.save")
        for part, name in parts.items():
            if not _harmless(part, archive.read(name)):
                raise ValueError(
                    f"{part} in {path.name} would be executed on loading; save plain tensors by torch.export.save"
                )
    program = torch.export.load(path)
    for node in program.graph.nodes:
        if node.op == "call_function" and not _known(node.target):
            raise ValueError(f"{path.name} calls {node.target}, supported are operators of aten; export the model anew")
    module: nn.Module = program.module(check_guards=False)
    return module


def _harmless(part: str, content: bytes) -> bool:
    """Whether a part of an archive is data alone."""
    if part.startswith("data/sample_inputs/"):
        return _loads_as_tensors(content)
    if part.endswith(".json"):
        return all(_plain(key, value) for key, value in _entries(json.loads(content)))
    folder, _, name = part.rpartition("/")
    return not (folder in ("data/weights", "data/constants") and not name.startswith(("weight_", "tensor_")))


def _loads_as_tensors(content: bytes) -> bool:
    try:
        torch.load(io.BytesIO(content), weights_only=True)
    except Exception:  # whatever goes wrong, PyTorch would go on to unpickle it
        return not content
    return True


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    for key, part in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield str(key), part
        yield from _entries(part)


def _plain(key: str, value: Any) -> bool:
    """Whether an entry asks neither for unpickling nor for the evaluation of more than sizes."""
    if key == "use_pickle":
        return value is False
    if key == "expr_str":
        rest = _SYMBOL.sub("", value)
        return bool(_REST.fullmatch(rest)) and all(name in _NAMES for name in re.findall(r"[A-Za-z_]\w*", rest))
    return True


def _known(target: Any) -> bool:
    if isinstance(target, torch._ops.OpOverload):
        return target.namespace in ("aten", "prims")
    return getattr(operator, getattr(target, "__name__", ""), None) is target
