"""Where in a model something happens: the module and the line, found from the call stack."""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import torch
from torch import nn

_LIBRARY = str(Path(torch.__file__).parent)


class Place(NamedTuple):
    """Where an operation was called."""

    operation: str
    module: str
    """Name of the innermost module of the model, with the operation where that is the model itself."""
    name: str
    """Name of that module, empty for the model itself."""
    kind: nn.Module
    line: str
    """File and line of the model's own code."""

    def __str__(self) -> str:
        return f"{self.operation} in {self.name or type(self.kind).__name__} ({self.line})"


class Places:
    """Names of the modules of a model."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.names = {id(module): name for name, module in model.named_modules()}
        self.parameters = {
            id(value): name
            for named in (model.named_parameters, model.named_buffers)
            for name, value in named(remove_duplicate=False)
        }

    def current(self, operation: str, weight: object = None) -> Place:
        """The place that is running.

        Args:
            operation: name of what is called there.
            weight: parameter that says which module it is where the stack does not, as in an exported program.
        """
        module, line = self._from_stack()
        owner = self.parameters.get(id(weight), "").rpartition(".")[0]
        if module is self.model and owner:
            module = self.model.get_submodule(owner)
        name = self.names.get(id(module), "")
        return Place(operation, name or operation, name, module, line)

    def parameter(self, value: object, otherwise: str) -> str:
        """Name of a parameter or buffer, or what stands for it."""
        return self.parameters.get(id(value), otherwise)

    def _from_stack(self) -> tuple[nn.Module, str]:
        frame: FrameType | None = sys._getframe(1)
        line = ""
        module: nn.Module | None = None
        while frame is not None and not (module and line):
            receiver = frame.f_locals.get("self")
            code = frame.f_code
            if isinstance(receiver, nn.Module) and id(receiver) in self.names:
                module = module or receiver
                if not line and not code.co_filename.startswith(_LIBRARY):
                    line = f"{Path(code.co_filename).name}, line {frame.f_lineno}"
            frame = frame.f_back
        return module or self.model, line or "called from a module of PyTorch"
