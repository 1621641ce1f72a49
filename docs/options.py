"""What takes the fields of `CreditConfig` as `**options` shows each of them in its signature on the site."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import griffe


class ShownOptions(griffe.Extension):
    """Does for the site, which is made without importing anything, what `takes_options` does for `help`."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Put the options into the signatures of a whole package."""
        options = griffe.ParameterKind.var_keyword
        for function in _takers(pkg):
            own = [parameter for parameter in function.parameters if parameter.kind is not options]
            function.parameters = griffe.Parameters(*own, *_fields(pkg["redistribution.config.CreditConfig"]))


def _takers(scope: griffe.Object) -> Iterator[griffe.Function]:
    for member in scope.members.values():
        if isinstance(member, griffe.Module | griffe.Class):
            yield from _takers(member)
        elif isinstance(member, griffe.Function) and _takes_options(member):
            yield member


def _takes_options(function: griffe.Function) -> bool:
    return any(decorator.callable_path.endswith("takes_options") for decorator in function.decorators)


def _fields(config: griffe.Class) -> Iterator[griffe.Parameter]:
    for part in reversed([config, *config.mro()]):
        for name, member in part.members.items():
            if isinstance(member, griffe.Attribute):
                yield griffe.Parameter(
                    name, annotation=member.annotation, kind=griffe.ParameterKind.keyword_only, default=member.value
                )
