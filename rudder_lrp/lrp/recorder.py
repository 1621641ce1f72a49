"""Running a model while every operation that the inputs flow into is written on a tape."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_unflatten

from rudder_lrp.lrp.composite import Composite
from rudder_lrp.lrp.places import Place, Places
from rudder_lrp.lrp.tape import Absorbed, Owner, Passed, Step, Tape, Value

Owners = Callable[[list[Owner | None]], list[Owner | None]]
Rule = Callable[["Call"], Any]

_IN_PLACE = {"iadd": "add", "isub": "sub", "imul": "mul", "itruediv": "div", "idiv": "div"}
_VIEWING = {"T", "mT", "H", "mH", "data", "real"}


class Recorder(TorchFunctionMode):
    """Sees each call of PyTorch; what depends on the inputs is written on the tape.

    Args:
        places: names of the model's modules.
        composite: which rule goes where.
        operations: the rule of each operation by its name.
        account: whether constants are to be kept track of.
    """

    def __init__(self, places: Places, composite: Composite, operations: Mapping[str, Rule], account: bool) -> None:
        super().__init__()
        self.tape = Tape()
        self.places = places
        self.composite = composite
        self.operations = operations
        self.account = account
        self.embedded: list[tuple[Value, Tensor]] = []
        """Tokens and the relevance of their embeddings, filled on the way back."""
        self._values: dict[int, Value] = {}
        self._alive: list[Tensor] = []

    def track(self, tensor: Tensor, value: Value) -> Tensor:
        """Watch a tensor that stands for a value; it is kept, so that no other one can get its identity."""
        self._values[id(tensor)] = value
        self._alive.append(tensor)
        return tensor

    def value(self, candidate: object) -> Value | None:
        """The value of a tensor that depends on the inputs."""
        return self._values.get(id(candidate)) if isinstance(candidate, Tensor) else None

    def shares_memory(self, tensor: Tensor) -> bool:
        """Whether another tensor that is watched is a view of the same memory."""
        memory = tensor.untyped_storage().data_ptr()
        return any(other is not tensor and other.untyped_storage().data_ptr() == memory for other in self._alive)

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = _name(func)
        kwargs = kwargs or {}
        if name is None or not any(id(part) in self._values for part in _tensors((args, kwargs))):
            return func(*args, **kwargs)
        call = Call(self, func, name, args, kwargs)
        kind = call.tracked()[0].device.type
        if not torch.is_autocast_enabled(kind):
            return self.dispatch(call)
        with torch.autocast(kind, enabled=False):  # the model's own; relevance in half precision would be none
            return self.dispatch(call)

    def dispatch(self, call: Call) -> Any:
        """Run a call by its rule."""
        if call.of_whole_numbers and call.name not in WHOLE:
            return _whole_numbers(call)
        if call.name in self.operations:
            return self.operations[call.name](call)
        base = _IN_PLACE.get(call.name, call.name[:-1] if call.name.endswith("_") else "")
        if base in self.operations:
            return self._in_place(call, base)
        return without_rule(call)

    def _in_place(self, call: Call, base: str) -> Tensor:
        """As if out of place, then the tensor that was to be changed gets the new memory."""
        target: Tensor = call.args[0]
        call.refuse_views(target)
        outcome = self.dispatch(Call(self, getattr(Tensor, base), base, call.args, call.kwargs))
        return self.become(target, outcome)

    def become(self, target: Tensor, outcome: Tensor) -> Tensor:
        """Make a tensor of the model hold what another one holds, without a change to the old memory."""
        value = self._values.pop(id(outcome))
        self._alive = [other for other in self._alive if other is not outcome and other is not target]
        target.data = outcome
        return self.track(target, value)


WHOLE = {"embedding", "setitem", "copy_", "iter"}
"""Operations that have a rule for whole numbers too; those that move are added where they are defined."""


def _whole_numbers(call: Call) -> Any:
    """Tokens that are counted with: relevance passes unchanged to those that make as many other ones."""
    outcome = call.run()
    first, value = call.first()
    kept = isinstance(outcome, Tensor) and outcome.shape == first.shape
    if not kept or outcome.dtype == torch.bool or outcome.is_floating_point():
        return outcome if not isinstance(outcome, Tensor) or not outcome.is_floating_point() else without_rule(call)
    return call.emit([Value(outcome)], [value], lambda arriving, _: Passed(arriving, []))[0]


def _name(func: Any) -> str | None:
    """The plain name of an operation; None for what asks a tensor for one of its properties."""
    if hasattr(func, "_schema"):
        return str(func._schema.name.rpartition("::")[2])
    name: str = getattr(func, "__name__", type(func).__name__)
    if name == "__get__":
        attribute = getattr(func.__self__, "__name__", "")
        return attribute if attribute in _VIEWING else None
    if name == "__set__":
        return None
    return name.strip("_") if name.startswith("__") else name


def _tensors(part: Any) -> Iterator[Tensor]:
    """Those among arguments, which nest in sequences alone; every call of the model comes by here."""
    if isinstance(part, Tensor):
        yield part
    elif isinstance(part, tuple | list | dict):
        for inner in part.values() if isinstance(part, dict) else part:
            yield from _tensors(inner)


def _with(part: Any, replaced: Mapping[int, Tensor]) -> Any:
    """The same arguments with some tensors replaced by others, by identity."""
    if isinstance(part, Tensor):
        return replaced.get(id(part), part)
    if isinstance(part, dict):
        return {name: _with(inner, replaced) for name, inner in part.items()}
    if isinstance(part, tuple | list):
        return (list if isinstance(part, list) else tuple)(_with(inner, replaced) for inner in part)
    return part


class Call(NamedTuple):
    """A call of PyTorch by the model, with at least one tensor that depends on the inputs."""

    recorder: Recorder
    func: Any
    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def place(self, weight: object = None) -> Place:
        """Where the model is."""
        return self.recorder.places.current(self.name, weight)

    def value(self, candidate: object) -> Value | None:
        """The value of a tensor that depends on the inputs."""
        return self.recorder.value(candidate)

    def tensors(self) -> list[Tensor]:
        """All tensors among the arguments."""
        return list(_tensors((self.args, self.kwargs)))

    def tracked(self) -> list[Tensor]:
        """Those that depend on the inputs."""
        return [part for part in self.tensors() if self.value(part)]

    def run(self, replaced: Mapping[int, Tensor] | None = None) -> Any:
        """Run it, some of the tensors replaced by others, by identity."""
        if not replaced:
            return self.func(*self.args, **self.kwargs)
        return self.func(*_with(self.args, replaced), **_with(self.kwargs, replaced))

    def arguments(self, *names: str) -> dict[str, Any]:
        """The arguments by name, from the signature or in the order of the names."""
        if hasattr(self.func, "_schema"):
            names = tuple(argument.name for argument in self.func._schema.arguments)
        elif not names:
            bound = inspect.signature(self.func).bind(*self.args, **self.kwargs)
            bound.apply_defaults()
            return dict(bound.arguments)
        return dict(zip(names, self.args, strict=False)) | self.kwargs

    def first(self) -> tuple[Tensor, Value]:
        """The first of them and its value."""
        tensor = self.tracked()[0]
        value = self.value(tensor)
        assert value is not None
        return tensor, value

    @property
    def of_whole_numbers(self) -> bool:
        """Whether all that depends on the inputs is whole numbers."""
        return not any(part.is_floating_point() for part in self.tracked())

    def constant(self, tensor: Tensor) -> Value:
        """A value for a tensor that does not depend on the inputs, entered in the account of constants."""
        value = Value(tensor)
        name = self.recorder.places.parameter(tensor, self.place().module)
        self.recorder.tape.constants.append((name, value))
        return value

    def emit(
        self,
        outputs: list[Value],
        operands: list[Value],
        back: Callable[[list[Tensor | None], bool], Passed],
        owners: Owners | None = None,
        place: Place | None = None,
    ) -> list[Tensor]:
        """Write a step on the tape; the tensors that the model gets."""
        owners = owners or aligned(outputs[0].value, operands)
        self.recorder.tape.steps.append(Step(place or self.place(), operands, outputs, back, owners))
        return [self.recorder.track(output.value.detach(), output) for output in outputs]

    def refuse_views(self, target: Tensor) -> None:
        """Refuse to change what other tensors see too.

        Raises:
            NotImplementedError: if there are views of the tensor.
        """
        hidden = self.value(target) is None and (target._is_view() or target.requires_grad)
        if hidden or self.recorder.shares_memory(target):
            raise NotImplementedError(
                f"{self.place()} changes a tensor in place that other tensors are views of, which no relevance can be "
                "found for; write it out of place"
            )

    def refuse(self, why: str) -> NotImplementedError:
        """The refusal of what this call does."""
        return NotImplementedError(f"{self.place()} {why}")


def aligned(output: Tensor, operands: list[Value]) -> Owners:
    """Where examples differ in operands whose dimensions fit those of the output, counted from the last one."""

    def owners(arriving: list[Owner | None]) -> list[Owner | None]:
        owner = next(part for part in arriving if part is not None)
        from_end = output.ndim - owner.dim
        dims = [operand.value.ndim - from_end for operand in operands]
        for dim, operand in zip(dims, operands, strict=True):
            if dim < 0 or operand.value.shape[dim] != len(owner.examples):
                raise mixed_examples()
        return [owner._replace(dim=dim) for dim in dims]

    return owners


def mixed_examples() -> NotImplementedError:
    """The refusal of a ledger for each example where there is none."""
    return NotImplementedError(
        "the model mixes the examples of a batch, so no ledger can be kept for each; explain them one by one"
    )


def without_rule(call: Call, why: str = "is no operation that a rule covers") -> Any:
    """Run what has no rule: numbers, masks and shapes go on as constants, and relevance is refused, should it come."""
    if call.name.endswith("_") and call.name != "requires_grad_":
        raise call.refuse("changes a tensor in place by an operation that has no rule; write it out of place")
    outcome = call.run()
    flat, spec = tree_flatten(outcome)
    if not any(_has_values(part) for part in flat):
        return outcome
    place = call.place()

    def back(arriving: list[Tensor | None], account: bool) -> Passed:
        raise NotImplementedError(
            f"relevance would have to pass {place}, which {why}; rebuild that part from what "
            "docs/whole_models.md lists, or let it feed gates and masks alone"
        )

    operands = [value for part in call.tracked() if (value := call.value(part))]
    at = [n for n, part in enumerate(flat) if _has_values(part)]
    for n, tensor in zip(
        at, call.emit([Value(flat[n].detach()) for n in at], operands, back, place=place), strict=True
    ):
        flat[n] = tensor
    return tree_unflatten(flat, spec)


def _has_values(part: object) -> bool:
    return isinstance(part, Tensor) and (part.is_floating_point() or part.is_complex())


def absorbed(account: str, relevance: Tensor, keep: bool) -> list[Absorbed]:
    """An entry where an account is kept."""
    return [Absorbed(account, relevance)] if keep else []
