"""Which rule goes where in a whole model, in the sense of zennit's composites.

Keys are names of modules, as in `model.named_modules()` and with the wildcards of `fnmatch`, or their types. Names go
before types, and of several that fit the first one counts. What the value may be depends on the module:

- Linear, Conv1d: "epsilon", "gamma", "alpha-beta", "z-plus", "flat", "w-squared", or a function (`LayerRule`);
- LayerNorm, BatchNorm1d: "epsilon", or "identity", which passes relevance unchanged;
- LSTM, GRU, and any module with products in its `forward`: "all", "half", "prop", "abs", or a function (`GateRule`).
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from torch import nn

from rudder_lrp.lrp import layer_rules
from rudder_lrp.lrp.layer_rules import LAYER_RULES, LayerRule
from rudder_lrp.lrp.rules import GATE_RULES, GateRule

Place = str | type[nn.Module]
Choice = str | GateRule | LayerRule

AFFINE = (nn.Linear, nn.Conv1d, nn.Conv2d)
NORMS = (nn.LayerNorm, nn.BatchNorm1d)
_NORM_RULES: Mapping[str, Any] = {"epsilon": "epsilon", "identity": "identity"}


class Composite(NamedTuple):
    """Rules of a whole model."""

    gate: GateRule
    """Of products where nothing else is said."""
    eps: float
    rules: Mapping[Place, Choice]

    def gate_rule(self, name: str, module: nn.Module) -> GateRule:
        """How the products of a module share relevance."""
        found = self._find(name, module)
        return self.gate if found is None else _resolve(name, module, found)

    def layer_rule(self, name: str, module: nn.Module) -> LayerRule:
        """How an affine map shares relevance."""
        found = self._find(name, module) if isinstance(module, AFFINE) else None
        return layer_rules.epsilon if found is None else _resolve(name, module, found)

    def passes_norm(self, name: str, module: nn.Module) -> bool:
        """Whether a normalisation passes relevance unchanged."""
        return isinstance(module, NORMS) and self._find(name, module) == "identity"

    def check(self, model: nn.Module) -> None:
        """Refuse rules for what is not there, and rules that do not fit.

        Raises:
            ValueError: naming what was found and what is supported.
        """
        modules = dict(model.named_modules())
        for place, rule in self.rules.items():
            fitting = {name: module for name, module in modules.items() if _fits(place, name, module)}
            if not fitting:
                what = place if isinstance(place, str) else place.__name__
                known = ", ".join(name for name in modules if name)
                raise ValueError(f"rules name {what!r}, but the model has no such module, only {known}; correct it")
            for name, module in fitting.items():
                _resolve(name, module, rule)

    def _find(self, name: str, module: nn.Module) -> Choice | None:
        by_name = sorted(self.rules.items(), key=lambda rule: not isinstance(rule[0], str))
        return next((rule for place, rule in by_name if _fits(place, name, module)), None)


def _fits(place: Place, name: str, module: nn.Module) -> bool:
    return fnmatchcase(name, place) if isinstance(place, str) else isinstance(module, place)


def _resolve(name: str, module: nn.Module, rule: Choice) -> Any:
    known: Mapping[str, Any] = GATE_RULES
    if isinstance(module, AFFINE):
        known = LAYER_RULES
    elif isinstance(module, NORMS):
        known = _NORM_RULES
    if not isinstance(rule, str):
        return rule
    if rule not in known:
        kind = type(module).__name__
        raise ValueError(f"the rule of {name or 'the model'} ({kind}) must be one of {', '.join(known)}, got {rule!r}")
    return known[rule]
