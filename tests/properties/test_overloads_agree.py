"""The overloads of each call, read by their syntax, agree with the catalog and with the methods themselves."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping
from dataclasses import dataclass

from kling_adapters.client import _calls
from tests.properties.descriptions import TREES, each_tree, index


@dataclass(frozen=True)
class Overload:
    """An overload of a call."""

    model: str
    typed: str
    options: Mapping[str, tuple[str, str]]
    returns: str
    is_async: bool


def overloads(stub: ast.Module) -> dict[tuple[str, str], list[Overload]]:
    """Return the overloads in a stub by class and method."""
    calls: dict[tuple[str, str], list[Overload]] = {}
    for client in stub.body:
        for method in client.body if isinstance(client, ast.ClassDef) else ():
            if isinstance(method, ast.Assign):
                assert ast.unparse(method) == "run_sync = run_direct"
                continue
            assert isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef)
            if [ast.unparse(mark) for mark in method.decorator_list] == ["overload"]:
                assert isinstance(client, ast.ClassDef)
                calls.setdefault((client.name, method.name), []).append(overload(method))
    return calls


def overload(method: ast.FunctionDef | ast.AsyncFunctionDef) -> Overload:
    arguments = method.args
    assert [argument.arg for argument in arguments.posonlyargs] == ["self", "model"]
    assert not arguments.args
    model = arguments.posonlyargs[1].annotation
    is_slug = isinstance(model, ast.Subscript) and ast.unparse(model.value) == "Literal"
    typed = ast.unparse(arguments.kwarg.annotation) if arguments.kwarg and arguments.kwarg.annotation else ""
    defaults = (ast.unparse(default) if default else "" for default in arguments.kw_defaults)
    return Overload(
        ast.literal_eval(model.slice) if is_slug else ast.unparse(model),  # type: ignore[union-attr, arg-type]
        typed.removeprefix("Unpack[").removesuffix("]"),
        {
            option.arg: (ast.unparse(option.annotation) if option.annotation else "", default)
            for option, default in zip(arguments.kwonlyargs, defaults, strict=True)
        },
        ast.unparse(method.returns) if method.returns else "",
        isinstance(method, ast.AsyncFunctionDef),
    )


@each_tree
def test_overloads_agree(tree: str) -> None:
    models, _ = TREES[tree]
    stub = ast.parse((models.parent / "client" / "_calls.pyi").read_text("utf-8"))
    imported = {
        name.asname or name.name: f"{line.module}.{name.name}"
        for line in stub.body
        if isinstance(line, ast.ImportFrom)
        for name in line.names
    }
    typed = [(entry.slug, f"{entry.module}.{entry.name}Input") for entry in index(tree)]
    stubbed = overloads(stub)
    methods = {
        (client, name): method
        for client in ("SyncCalls", "AsyncCalls")
        for name, method in vars(getattr(_calls, client)).items()
        if inspect.isfunction(method) and not name.startswith("_") and name != "run_sync"
    }
    assert stubbed.keys() == methods.keys()
    for call, method in methods.items():
        *by_slug, by_object = stubbed[call]
        assert [(item.model, imported[item.typed]) for item in by_slug] == typed
        assert (by_object.model, by_object.typed) == ("Params", "")
        options = {
            option.name: (option.annotation, repr(option.default))
            for option in inspect.signature(method).parameters.values()
            if option.kind is option.KEYWORD_ONLY
        }
        for item in stubbed[call]:
            assert item.options == options
            assert item.returns == inspect.signature(method).return_annotation
            assert item.is_async == inspect.iscoroutinefunction(method)
