"""Captum's methods through the door of `LRP(model)`, and `LRP` through Captum's.

`CaptumAttribution(model, "IntegratedGradients").attribute(tokens, target)` calls Captum on the same models, with the
same arguments and the same shape of the outcome as `LRP(model).attribute(tokens, target)`. Where an embedding takes the
inputs, Captum varies its output; the model stays as it is. `as_captum(LRP(model))` is a `captum.attr.Attribution`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.overrides import TorchFunctionMode

from rudder_lrp.attribution.base import captum_attr
from rudder_lrp.lrp import LRP, ModelLedger
from rudder_lrp.lrp.evaluation import evaluating
from rudder_lrp.lrp.model_checks import check_model_inputs, unwrapped

_BY_UNIT = {"FeatureAblation", "ShapleyValueSampling", "ShapleyValues", "Lime", "KernelShap", "FeaturePermutation"}
"""Methods that switch units off, numbered by a mask: whole steps unless said otherwise."""
_STEPS = {"feature_mask", "sliding_window_shapes"}

Inputs = TypeVar("Inputs", Tensor, tuple[Tensor, ...])


class CaptumAttribution:
    """One of Captum's methods on a whole model.

    Args:
        model: any module that returns `[B, C]` (or `[B]`).
        method: name of a class of `captum.attr`, or the class.
        options: what its `attribute` takes besides inputs, target and additional arguments, such as `n_steps` or
            `baselines`; baselines are zero by default, of embeddings too.

    Raises:
        ImportError: if Captum is not installed, naming the extra.
        ValueError: if Captum has no such method.
    """

    def __init__(self, model: nn.Module, method: str | type = "IntegratedGradients", **options: Any) -> None:
        self.model = unwrapped(model)
        self.options = options
        found = getattr(captum_attr(), method, None) if isinstance(method, str) else method
        if not isinstance(found, type) or not hasattr(found, "attribute"):
            raise ValueError(f"captum.attr has no method {method!r}; pass a name such as 'IntegratedGradients'")
        self.method = found

    def attribute(
        self,
        inputs: Inputs,
        target: int | Tensor | tuple[int, ...] | None = None,
        *,
        additional_forward_args: Any = None,
        per_feature: bool = False,
    ) -> Inputs:
        """Relevance shaped like the inputs, of tokens summed over the features of their embeddings.

        Args:
            inputs: a tensor, or one in a tuple, as Captum's metrics have it; of whole numbers if an embedding takes it.
            target: as for `LRP.attribute`.
            additional_forward_args: what the model takes after the inputs: one argument or a tuple.
            per_feature: whether to keep the features of embeddings apart, `[B, T, E]`.

        Raises:
            TypeError, ValueError: if the inputs do not fit the model.
        """
        parts = check_model_inputs(self.model, inputs)
        if len(parts) != 1 or isinstance(inputs, PackedSequence):
            raise TypeError(
                f"Captum's methods explain one tensor here, got {type(inputs).__name__} of {len(parts)}; pass the "
                "others as additional_forward_args, or pad a packed batch"
            )
        given = parts[0]
        more = _as_tuple(additional_forward_args)
        with evaluating(self.model):
            relevance = self._relevance(given, target, more, per_feature)
        return relevance if isinstance(inputs, Tensor) else (relevance,)

    def _relevance(self, inputs: Tensor, target: Any, more: tuple[Any, ...], per_feature: bool) -> Tensor:
        if inputs.is_floating_point():
            return self._call(self.model, inputs, target, more)
        embedded = _Embedded(self.model)
        vectors = embedded.vectors(inputs, more)
        relevance = self._call(embedded, vectors, target, (inputs, *more))
        return relevance if per_feature else relevance.sum(-1)

    def _call(self, model: nn.Module, inputs: Tensor, target: Any, more: tuple[Any, ...]) -> Tensor:
        options = self._defaults(inputs) | self.options
        given = inputs.detach().clone().requires_grad_()
        relevance: Tensor = self.method(model).attribute(
            given, target=target, additional_forward_args=more or None, **options
        )
        # A step that is switched off as one leaves its whole effect at each of its features.
        shared = (
            inputs.shape[-1] if inputs.ndim == 3 and options.keys() & _STEPS and not self.options.keys() & _STEPS else 1
        )
        return relevance.detach().to(inputs.dtype) / shared

    def _defaults(self, inputs: Tensor) -> dict[str, Any]:
        """Zero baselines where there is no default, and whole steps as units."""
        name = self.method.__name__
        defaults: dict[str, Any] = {}
        if name in _BY_UNIT and inputs.ndim == 3:
            steps = torch.arange(inputs.shape[1], device=inputs.device)[None, :, None]
            defaults["feature_mask"] = steps.expand(1, *inputs.shape[1:]).contiguous()
        if name in ("GradientShap", "DeepLiftShap"):
            defaults["baselines"] = torch.zeros_like(inputs)
        if name == "Occlusion":
            defaults["sliding_window_shapes"] = (1, *inputs.shape[2:])
        return defaults


class _Embedded(nn.Module):
    """The model as a function of its embedded tokens, which take the place of what its embedding returns."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, vectors: Tensor, tokens: Tensor, *more: Any) -> Any:
        with _Replacing(tokens, vectors):
            return self.model(tokens, *more)

    def vectors(self, tokens: Tensor, more: tuple[Any, ...]) -> Tensor:
        """What the embedding returns, `[B, T, E]`.

        Raises:
            ValueError: if no embedding, or more than one, takes the tokens as they are.
        """
        with torch.no_grad(), _Replacing(tokens, None) as seen:
            self.model(tokens, *more)
        if len(seen.found) != 1:
            raise ValueError(
                f"inputs of whole numbers must be looked up by one embedding as they are, got {len(seen.found)}; pass "
                "the model after its embedding"
            )
        vectors: Tensor = seen.found[0]
        return vectors


class _Replacing(TorchFunctionMode):
    """Puts vectors in the place of what an embedding of some tokens returns."""

    def __init__(self, tokens: Tensor, vectors: Tensor | None) -> None:
        super().__init__()
        self.tokens, self.vectors = tokens, vectors
        self.found: list[Tensor] = []

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        outcome = func(*args, **(kwargs or {}))
        if getattr(func, "__name__", "").partition(".")[0] != "embedding" or not any(
            arg is self.tokens for arg in args
        ):
            return outcome
        self.found.append(outcome)
        return outcome if self.vectors is None else self.vectors


def _as_tuple(more: Any) -> tuple[Any, ...]:
    return more if isinstance(more, tuple) else () if more is None else (more,)


def as_captum(lrp: LRP[ModelLedger]) -> Any:
    """A `captum.attr.Attribution` that explains by LRP, for what takes one, such as Captum's `NoiseTunnel`.

    Its `attribute(inputs, target, additional_forward_args, return_convergence_delta)` returns a tuple for a tuple; the
    delta is what the ledger says did not reach the inputs, `[B]`. For Captum's metrics, pass `lrp.attribute` itself.

    Raises:
        ImportError: if Captum is not installed, naming the extra.
    """
    base: Any = captum_attr().Attribution
    from captum.log import log_usage  # its tools call what this decorator wraps

    class LayerwiseRelevance(base):  # type: ignore[misc]
        """See `as_captum`."""

        multiplies_by_inputs = True

        def __init__(self, forward_func: Callable[..., Any]) -> None:
            super().__init__(forward_func)
            self.is_delta_supported = True

        def has_convergence_delta(self) -> bool:
            return True

        @log_usage()  # type: ignore[untyped-decorator]
        def attribute(
            self,
            inputs: Any,
            target: Any = None,
            additional_forward_args: Any = None,
            return_convergence_delta: bool = False,
        ) -> Any:
            found, ledger = lrp.attribute(
                inputs, target, return_ledger=True, additional_forward_args=additional_forward_args
            )
            return (found, ledger.total() - ledger.inputs) if return_convergence_delta else found

    return LayerwiseRelevance(lrp.model)
