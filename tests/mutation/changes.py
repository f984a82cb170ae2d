"""Small changes to the text of a module.

Docstrings, log messages, the wording of errors, `__all__`, `__slots__` and annotations stay unchanged, except for
annotations in generated models, because pydantic validates by them.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SWAPS: dict[type, tuple[type, ...]] = {
    ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.LtE), ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,), ast.NotIn: (ast.In,), ast.And: (ast.Or,), ast.Or: (ast.And,),
    ast.Add: (ast.Sub,), ast.Sub: (ast.Add,), ast.Mult: (ast.Div,), ast.Div: (ast.Mult,),
}  # fmt: skip
_FUNCTIONS = {"min": "max", "max": "min", "any": "all", "all": "any"}
_TYPES = {"str": "int", "int": "float", "float": "int", "bool": "int", "Media": "str"}
_VERDICTS = ("safe", "uncertain", "never")
_WORDING = {
    "description",
    "meaning",
    "source",
    "title",
    "allowed",
    "name",
    "status",
    "terminal",
    "init",
    "kw_only",
}
"""Keywords whose values are texts for people, or are not read at run time."""
_NOT_CALLS = {"field", "dataclasses.field", "TypeVar", "ParamSpec", "cast"}
_Change = tuple[str, bool, ast.stmt | ast.expr, ast.AST]


@dataclass(frozen=True)
class Mutant:
    """A change of a module: its bytes from `start` to `end` become `after`. `place` is a function or a variable."""

    path: Path
    place: str
    is_in_function: bool
    before: str
    after: str
    is_expression: bool
    start: int
    end: int
    lines: range

    def __str__(self) -> str:
        pairs = enumerate(zip(self.before, self.after, strict=False))
        first = next((index for index, (old, new) in pairs if old != new), 0)
        texts = (" ".join(text[max(0, first - 30) :][:90].split()) for text in (self.before, self.after))
        return f"{self.place}: {' → '.join(texts)}"

    def source(self) -> bytes:
        """Return the changed text of the module."""
        text = self.path.read_bytes()
        after = f"({self.after})" if self.is_expression else self.after
        return text[: self.start] + after.encode() + text[self.end :]


def make_mutants(path: Path) -> list[Mutant]:
    """Return all changes of a module."""
    source = path.read_bytes()
    offsets = [0]
    for line in source.splitlines(keepends=True):
        offsets.append(offsets[-1] + len(line))
    mutants: list[Mutant] = []
    for place, is_function, node, change in _walk(ast.parse(source), is_model=path.parent.name == "models"):
        texts = ast.unparse(node), ast.unparse(change)
        start, last = offsets[node.lineno - 1] + node.col_offset, node.end_lineno or 0
        end, lines = offsets[last - 1] + (node.end_col_offset or 0), range(node.lineno, last + 1)
        mutants.append(
            Mutant(path, place, is_function, *texts, isinstance(node, ast.expr), start, end, lines)
        )
    return mutants


def _walk(node: ast.AST, place: str = "", *, is_function: bool = False, is_model: bool) -> Iterator[_Change]:
    """Yield the place of each change, whether that is a function, the changed node, and its replacement."""
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            place, is_function = (
                f"{place}.{name}".lstrip("."),
                is_function or not isinstance(node, ast.ClassDef),
            )
        case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]) if (
            not is_function
        ):
            place = f"{place}.{name}".lstrip(".")
        case _:
            pass
    if isinstance(node, ast.stmt | ast.expr):
        for target, change in _changes(node, is_model=is_model):
            yield place, is_function, target, change
    for child in _children(node):
        yield from _walk(child, place, is_function=is_function, is_model=is_model)


def _children(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            yield from node.body
        case (
            ast.Import()
            | ast.ImportFrom()
            | ast.JoinedStr()
            | ast.pattern()
            | ast.If(test=ast.Name(id="TYPE_CHECKING"))
            | ast.Assign(targets=[ast.Name(id="__all__" | "__slots__")])
        ):
            pass
        case ast.Expr(value=ast.Constant() | ast.Call(func=ast.Attribute(value=ast.Name(id="log")))):
            pass
        case ast.Subscript(value=ast.Name(id="dict" | "list" | "Literal" | "Generator" | "Callable")):
            pass
        case ast.AnnAssign():
            yield from [node.value] if node.value and "TypeAlias" not in ast.unparse(node.annotation) else []
        case ast.keyword(arg=str() as name) if name in _WORDING:
            pass
        case ast.Call(func=ast.Name(id="cast" | "TypeVar" | "ParamSpec")):
            yield from node.args[1:]
        case ast.Call() if _makes_error(node):
            yield from (part for part in (*node.args, *node.keywords) if not _is_text(part))
        case _:
            yield from ast.iter_child_nodes(node)


def _makes_error(call: ast.Call) -> bool:
    name = ast.unparse(call.func)
    return name == "Problem" or name.startswith("errors.") or name.endswith(("Error", "Uncertain"))


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp)


def _replace(node: Any, **fields: Any) -> Any:
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def _drop_each(items: list[Any]) -> Iterator[list[Any]]:
    return (items[:index] + items[index + 1 :] for index in range(len(items)))


def _changes(node: ast.stmt | ast.expr, *, is_model: bool) -> Iterator[tuple[ast.stmt | ast.expr, ast.AST]]:
    """Yield each node to change, and its replacement."""
    if isinstance(node, ast.expr):
        yield from ((node, change) for change in _expressions(node))
        return
    match node:
        case ast.If(test=test) | ast.While(test=test) if ast.unparse(test) not in ("True", "TYPE_CHECKING"):
            yield test, ast.Constant(value=False)
            # An endless loop only costs time.
            yield from [(test, ast.Constant(value=True))] if isinstance(node, ast.If) else []
        case ast.Return(value=ast.expr() as value) if ast.unparse(value) != "None":
            yield node, ast.Return(ast.Constant(None))
        case ast.Expr(value=ast.Constant() | ast.Call(func=ast.Attribute(value=ast.Name(id="log")))):
            pass
        case (
            ast.Expr()
            | ast.Raise()
            | ast.AugAssign()
            | ast.Assign(targets=[ast.Attribute() | ast.Subscript()])
        ):
            yield node, ast.Pass()
        case ast.Break() | ast.Continue():
            yield node, ast.Continue() if isinstance(node, ast.Break) else ast.Break()
        case ast.Try():
            yield from (
                (handler.type, ast.Tuple([], ast.Load())) for handler in node.handlers if handler.type
            )
        case ast.AnnAssign() if is_model:
            if ast.unparse(node.annotation).startswith(("Annotated", "NotRequired")):
                yield node, ast.Pass()
                yield from [(node, _replace(node, value=None))] if node.value else []
            yield from _annotations(node.annotation)
        case _:
            pass


def _expressions(node: ast.expr) -> Iterator[ast.expr]:  # noqa: C901, PLR0912  one case for each kind
    match node:
        case ast.Compare():
            for index, operator in enumerate(node.ops):
                for new in _SWAPS[type(operator)]:
                    yield _replace(node, ops=[*node.ops[:index], new(), *node.ops[index + 1 :]])
        case ast.BoolOp():
            yield from (_replace(node, op=new()) for new in _SWAPS[type(node.op)])
            for values in _drop_each(node.values):
                yield _replace(node, values=values) if len(values) > 1 else values[0]
        case ast.UnaryOp():
            yield node.operand
        case ast.BinOp(op=ast.BitOr()):
            yield from (node.left, node.right)
        case ast.BinOp() if type(node.op) in _SWAPS:
            yield from (_replace(node, op=new()) for new in _SWAPS[type(node.op)])
        case ast.IfExp():
            yield from (node.body, node.orelse)
        case ast.Constant():
            yield from map(ast.Constant, _other_values(node.value))
        case ast.JoinedStr():
            yield ast.Constant("")
        case ast.Name(id=name) if name in _FUNCTIONS:
            yield ast.Name(_FUNCTIONS[name])
        case ast.Tuple(ctx=ast.Load()) | ast.List(ctx=ast.Load()) | ast.Set():
            if len({type(item) for item in node.elts}) == 1:
                yield from (_replace(node, elts=items) for items in _drop_each(node.elts))
        case ast.Dict():
            for pairs in _drop_each(list(zip(node.keys, node.values, strict=True))):
                yield ast.Dict([key for key, _ in pairs], [value for _, value in pairs])
        case ast.Call() if ast.unparse(node.func) not in _NOT_CALLS:
            for keywords in _drop_each(node.keywords):
                if next(keyword for keyword in node.keywords if keyword not in keywords).arg not in _WORDING:
                    yield _replace(node, keywords=keywords)
        case ast.ListComp() | ast.GeneratorExp() | ast.DictComp() if node.generators[0].ifs:
            yield _replace(node, generators=[_replace(node.generators[0], ifs=[]), *node.generators[1:]])
        case _:
            pass


def _other_values(value: object) -> Iterator[Any]:
    match value:
        case bool():
            yield not value
        case int():
            yield from (value + 1, value - 1)
        case float():
            yield from (value * 2, value / 2) if value else (1.0,)
        case "safe" | "uncertain" | "never":
            yield from (verdict for verdict in _VERDICTS if verdict != value)
        case str():
            yield f"{value}x"
        case _:
            pass


def _annotations(node: ast.expr) -> Iterator[tuple[ast.expr, ast.AST]]:  # noqa: C901  one case for each kind
    """Yield changes of a type: a value less or more, null, or another type."""
    match node:
        case ast.Subscript(value=ast.Name(id="ClassVar" | "Final")):
            return
        case ast.Subscript(value=ast.Name(id="Literal")):
            values = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            last: Any = ast.literal_eval(values[-1])
            more = ast.Constant(f"{last}x" if isinstance(last, str) else last + 1)
            for changed in (*_drop_each(values), [*values, more]):
                yield node, _replace(node, slice=ast.Tuple(changed or [more], ast.Load()))
            return
        case ast.BinOp():
            yield from ((node, node.left), (node, node.right))
        case ast.Name(id=name) if name in _TYPES:
            yield node, ast.Name(_TYPES[name])
        case ast.Subscript(value=ast.Name(id="Annotated"), slice=ast.Tuple(elts=[kind, *fields])):
            if "None" not in ast.unparse(kind):
                nullable = ast.BinOp(kind, ast.BitOr(), ast.Constant(None))
                yield node, _replace(node, slice=ast.Tuple([nullable, *fields], ast.Load()))
            for field in fields:
                yield from ((target, change) for _, _, target, change in _walk(field, is_model=True))  # type: ignore[misc]
            yield from _annotations(kind)
            return
        case _:
            pass
    for part in ast.iter_child_nodes(node):
        if isinstance(part, ast.expr):
            yield from _annotations(part)
