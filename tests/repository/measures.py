"""Measure the structure of the hand-written packages. `make measures`."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import grimp

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "kling_adapters": ROOT / "kling_adapters",
    "kling_codegen": ROOT / "codegen" / "kling_codegen",
    **{path.name: path for path in sorted((ROOT / "plugins").glob("*/kling_*")) if path.is_dir()},
}
MODULE_LINES = 250
FUNCTION_LINES = 35
LARGEST = 10


class Size(NamedTuple):
    """The lines of a module, or of a function without its decorators and docstring."""

    name: str
    lines: int


def source_files() -> list[Path]:
    """Return the hand-written modules; those that the compiler writes are left out."""
    models = PACKAGES["kling_adapters"] / "models"
    paths = (path for folder in PACKAGES.values() for path in folder.rglob("*.py"))
    return sorted(path for path in paths if not path.is_relative_to(models))


def module_sizes() -> list[Size]:
    """Return the lines of each module, blank lines and comments included."""
    return _largest_first(
        Size(_relative(path), len(path.read_text("utf-8").splitlines())) for path in source_files()
    )


def function_sizes() -> list[Size]:
    """Return the lines of each function and method."""
    return _largest_first(
        Size(f"{_relative(path)}:{name}", lines)
        for path in source_files()
        for name, lines in _functions(ast.parse(path.read_text("utf-8")))
    )


def import_circles() -> list[list[str]]:
    """Return the groups of modules that import each other, directly or through others.

    Imports under `TYPE_CHECKING` and inside functions count: a reader has to follow them too.
    """
    graph = grimp.build_graph(*PACKAGES, exclude_type_checking_imports=False, cache_dir=None)
    upstream = {module: graph.find_upstream_modules(module) for module in graph.modules}
    circles = {
        tuple(sorted({module} | {member for member in upstream[module] if module in upstream[member]}))
        for module in graph.modules
    }
    return sorted(list(circle) for circle in circles if len(circle) > 1)


def layer_count() -> int:
    """Return the number of layers of the runtime, from the contract of import-linter."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
    return next(
        len(contract["layers"])
        for contract in settings["contracts"]
        if contract["type"] == "layers" and contract.get("containers") == ["kling_adapters"]
    )


def _functions(node: ast.AST, prefix: str = "") -> Iterator[tuple[str, int]]:
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from _functions(child, prefix)
            continue
        if not isinstance(child, ast.ClassDef):
            yield f"{prefix}{child.name}", _body_lines(child)
        yield from _functions(child, f"{prefix}{child.name}.")


def _body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    if ast.get_docstring(function) is not None:
        docstring = function.body[0]
        lines -= (docstring.end_lineno or docstring.lineno) - docstring.lineno + 1
    return lines


def _largest_first(sizes: Iterator[Size]) -> list[Size]:
    return sorted(sizes, key=lambda size: (-size.lines, size.name))


def _relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _print_sizes(title: str, sizes: list[Size], limit: int) -> None:
    over = sum(size.lines > limit for size in sizes)
    print(f"\n{title}: {len(sizes)}, of which {over} have more than {limit} lines. The largest:")
    for size in sizes[: max(LARGEST, over)]:
        print(f"  {size.lines:5}  {size.name}")


def main() -> None:
    """Print all measures."""
    circles, modules = import_circles(), module_sizes()
    print(f"Import circles: {len(circles)}")
    for circle in circles:
        print(f"  {', '.join(circle)}")
    print(f"Layers of kling_adapters: {layer_count()}")
    print(f"Lines of hand-written code: {sum(size.lines for size in modules)}")
    _print_sizes("Modules", modules, MODULE_LINES)
    _print_sizes("Functions", function_sizes(), FUNCTION_LINES)


if __name__ == "__main__":
    main()
