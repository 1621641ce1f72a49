"""Every public name is on the site, with a docstring that says what it takes, gives and refuses."""

from __future__ import annotations

import ast
import inspect
import re
from dataclasses import fields
from pathlib import Path

import griffe
import pytest

from rudder_lrp import CreditConfig
from rudder_lrp.sb3 import RedistributedRewardVecEnv
from rudder_lrp.wrappers import RedistributedReward, RedistributedVectorReward

ROOT = Path(__file__).parents[2]
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path
    for path in sorted((ROOT / "rudder_lrp").rglob("*.py"))
    if not path.name.startswith("__")
}
PAGES = [line for page in (ROOT / "docs" / "api").glob("*.md") for line in page.read_text().splitlines()]
REFUSALS = ("ValueError", "TypeError", "ImportError", "RuntimeError", "FileNotFoundError", "OSError")


def test_every_module_stands_on_one_page_of_the_site() -> None:
    named = [line.removeprefix("::: ") for line in PAGES if line.startswith("::: ")]
    assert sorted(named) == sorted(MODULES)


def public_definitions(path: Path) -> list[tuple[str, ast.FunctionDef | ast.ClassDef]]:
    """Public functions, classes and methods of a module, by qualified name."""
    found = []
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            found.append((node.name, node))
            if isinstance(node, ast.ClassDef):
                found += [
                    (f"{node.name}.{part.name}", part)
                    for part in node.body
                    if isinstance(part, ast.FunctionDef) and not part.name.startswith("_")
                ]
    return found


@pytest.mark.parametrize("module", MODULES)
def test_public_names_have_docstrings(module) -> None:
    for name, node in public_definitions(MODULES[module]):
        decorators = {ast.unparse(part).rpartition(".")[2] for part in node.decorator_list}
        told_elsewhere = decorators & {"overload", "setter"}
        assert told_elsewhere or ast.get_docstring(node), f"{module}.{name} has no docstring"


@pytest.mark.parametrize("module", MODULES)
def test_what_a_public_name_refuses_is_in_its_docstring(module) -> None:
    for name, node in public_definitions(MODULES[module]):
        functions = [node] if isinstance(node, ast.FunctionDef) else constructors(node)
        for function in functions:
            if raised(function) and "Raises:" not in (ast.get_docstring(node) or ""):
                raise AssertionError(f"the docstring of {module}.{name} does not say that it raises {raised(function)}")


def constructors(node: ast.ClassDef) -> list[ast.FunctionDef]:
    return [
        part for part in node.body if isinstance(part, ast.FunctionDef) and part.name in ("__init__", "__post_init__")
    ]


def raised(function: ast.FunctionDef) -> list[str]:
    calls = [part.exc for part in ast.walk(function) if isinstance(part, ast.Raise) and isinstance(part.exc, ast.Call)]
    return [call.func.id for call in calls if isinstance(call.func, ast.Name) and call.func.id in REFUSALS]


EXPORTED = {
    name
    for path in (ROOT / "rudder_lrp").rglob("__init__.py")
    for node in ast.parse(path.read_text()).body
    if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__"
    for name in ast.literal_eval(node.value)
}
"""What is imported from the package or one of its rooms."""


@pytest.mark.parametrize("module", MODULES)
def test_what_is_exported_and_takes_or_gives_tensors_says_their_shape(module) -> None:
    for name, node in public_definitions(MODULES[module]):
        if isinstance(node, ast.FunctionDef) and name.split(".")[0] in EXPORTED and takes_tensors(node):
            text = ast.get_docstring(node) or ""
            assert re.search(r"`[^`]*\[|shaped|See `", text), f"{module}.{name} says no shape"


def test_a_good_deal_is_exported() -> None:
    assert len(EXPORTED) > 30


def takes_tensors(function: ast.FunctionDef) -> bool:
    given = [part.annotation for part in function.args.args] + [function.returns]
    names = {ast.unparse(annotation) for annotation in given if annotation is not None}
    return bool(names & {"Tensor", "Array", "Features", "Rewards"})


def test_the_options_of_the_wrappers_are_shown_and_not_hidden() -> None:
    """What takes `CreditConfig` field by field names them, in `help` and in the signatures of the site."""
    options = {part.name for part in fields(CreditConfig)}
    extension = griffe.load_extensions(str(ROOT / "docs" / "options.py"))
    site = griffe.load("rudder_lrp", search_paths=[str(ROOT)], extensions=extension)
    for wrapper in (RedistributedRewardVecEnv, RedistributedReward, RedistributedVectorReward):
        shown = site[f"{wrapper.__module__.removeprefix('rudder_lrp.')}.{wrapper.__name__}.__init__"].parameters
        assert options <= {parameter.name for parameter in shown}
        assert "options" not in {parameter.name for parameter in shown}
        assert options <= set(inspect.signature(wrapper).parameters)
    assert "extensions: [docs/options.py]" in (ROOT / "mkdocs.yml").read_text()
