"""Somebody's model and data from files or by name, without executing what a file brings."""

from __future__ import annotations

import importlib
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from rudder_lrp.lrp.attribution import LRP
from rudder_lrp.lrp.exported import load_exported
from rudder_lrp.lrp.ledger import ModelLedger


class Explained(NamedTuple):
    """Outcome of `explain_file`."""

    inputs: Tensor
    relevance: Tensor
    """Shaped like the inputs."""
    ledger: ModelLedger


def explain_file(
    model: str | Path,
    data: str | Path,
    target: int | tuple[int, ...] | None = None,
    *,
    rule: str = "all",
    eps: float = 1e-3,
) -> Explained:
    """Explain a model from a file, or one that can be imported, on data from a file.

    Args:
        model: a program saved by `torch.export.save` (`.pt2`), or `module:factory`, a function without arguments that
            returns an `nn.Module`.
        data: an `.npz` file with an array `inputs`, and `target` on demand, one number or one for each example.
        target: index of the output; by default the file's, or the only one.
        rule: how gated products share relevance.
        eps: stabilizer.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError, TypeError: if a file is of another kind, or would have to be unpickled; nothing in it is executed.
    """
    arrays = load_arrays(data)
    inputs = torch.from_numpy(arrays["inputs"])
    chosen: int | Tensor | tuple[int, ...] | None = target
    if chosen is None and "target" in arrays:
        chosen = torch.from_numpy(np.asarray(arrays["target"]))
    lrp = LRP(load_model(model), rule=rule, eps=eps)
    try:
        relevance, ledger = lrp.attribute(inputs, chosen, return_ledger=True)
    except NotImplementedError:
        raise
    except RuntimeError as error:  # the model's own
        found = f"{list(inputs.shape)} of {inputs.dtype}"
        raise ValueError(f"the model does not take the inputs, {found}: {error}; save what it takes") from error
    return Explained(inputs, relevance, ledger)


def load_model(source: str | Path) -> nn.Module:
    """A model from a `.pt2` file or from `module:factory`; see `explain_file`.

    Raises:
        ValueError: if it is neither, or would have to be unpickled.
    """
    path = Path(source)
    if path.suffix == ".pt2":
        return load_exported(path)
    if path.exists() or path.suffix in (".pt", ".pth", ".pkl", ".bin", ".ckpt", ".ts"):
        raise ValueError(
            f"{path.name} would have to be unpickled or run as TorchScript, which executes what it brings; save the "
            "model by torch.export.save as .pt2, or pass module:factory"
        )
    module, colon, factory = str(source).partition(":")
    if not colon:
        raise ValueError(f"the model must be a .pt2 file or module:factory, got {str(source)!r}; name one of these")
    return _made(module, factory)


def load_arrays(source: str | Path) -> dict[str, np.ndarray]:
    """Arrays of numbers from an `.npz` file; see `explain_file`.

    Raises:
        ValueError: if it is no such file, or holds something else than numbers.
    """
    path = Path(source)
    if path.suffix != ".npz":
        raise ValueError(f"data must be an .npz file, got {path.name!r}; save them by numpy.savez")
    if path.is_file() and not zipfile.is_zipfile(path):
        raise ValueError(f"{path.name} is no archive of NumPy; save the arrays by numpy.savez")
    with np.load(path, allow_pickle=False) as file:
        try:
            arrays = dict(file)
        except ValueError as error:
            raise ValueError(
                f"{path.name} holds pickled objects, which are not read; save arrays of numbers"
            ) from error
    if "inputs" not in arrays:
        raise ValueError(f"{path.name} must hold an array 'inputs', got {', '.join(arrays) or 'nothing'}; name it so")
    if arrays["inputs"].dtype.kind not in "iuf":
        raise ValueError(f"inputs in {path.name} are {arrays['inputs'].dtype}; save numbers")
    return arrays


def _made(module: str, factory: str) -> nn.Module:
    try:
        made = getattr(importlib.import_module(module), factory)()
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{module}:{factory} cannot be imported: {error}; put its folder on PYTHONPATH") from error
    if not isinstance(made, nn.Module):
        raise TypeError(f"{module}:{factory} must return an nn.Module, got {type(made).__name__}; return the model")
    return made
