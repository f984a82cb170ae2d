"""Every small way in which the text of a module can be wrong.

What is no behaviour stays as it is: docstrings, log messages, the wording of errors, and annotations, except in generated
models, where they are what pydantic checks.
"""

from __future__ import annotations

import ast
import copy
import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Pow: ast.Mult,
}
_FUNCTIONS = {"min": "max", "max": "min", "any": "all", "all": "any"}
_TYPES = {"str": "int", "int": "float", "float": "int", "bool": "int", "Media": "str"}
_VERDICTS = ("safe", "uncertain", "never")
_READ_BY_PEOPLE = {"description", "meaning", "source", "title", "allowed", "name", "status", "terminal"}
"""Arguments that are texts, or that nothing reads at run time."""
_DECLARES = {"field", "dataclasses.field", "TypeVar", "ParamSpec"}


@dataclass(frozen=True)
class Mutant:
    """One change of a file: its bytes from `start` to `end` become `after`.

    `place` names the function, or the variable of a module or class, that it is in.
    """

    path: Path
    place: str
    is_in_function: bool
    before: str
    after: str
    number: int
    start: int
    end: int
    lines: range

    @property
    def id(self) -> str:
        """The same for as long as its place has this text."""
        told = [self.path.stem, self.place, self.before, self.after, str(self.number)]
        return hashlib.sha256("\0".join(told).encode()).hexdigest()[:8]

    def __str__(self) -> str:
        same = takewhile(lambda pair: pair[0] == pair[1], zip(self.before, self.after, strict=False))
        alike = len(list(same)) - 30
        start = f"…{self.before[alike:]}", f"…{self.after[alike:]}"
        before, after = start if alike > 0 else (self.before, self.after)
        texts = (f"{text[:90]}…" if len(text) > 91 else text for text in (before, after))
        return " ".join(f"{self.path.stem}.{self.place}: {' → '.join(texts)}".split())

    def source(self) -> bytes:
        """Return the text of the file with the change made."""
        sound = self.path.read_bytes()
        return sound[: self.start] + self.after.encode() + sound[self.end :]


def mutants(path: Path) -> list[Mutant]:
    """Return every change of a file."""
    source = path.read_bytes()
    line_ends = [0]
    for line in source.splitlines(keepends=True):
        line_ends.append(line_ends[-1] + len(line))
    found: list[Mutant] = []
    seen = Counter[tuple[str, str, str]]()
    for place, node, change in _changes(ast.parse(source), _Place(), is_model=path.parent.name == "models"):
        after = ast.unparse(change)
        told = (place.name, ast.unparse(node), f"({after})" if isinstance(node, ast.expr) else after)
        start = line_ends[node.lineno - 1] + node.col_offset
        end = line_ends[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)
        lines = range(node.lineno, (node.end_lineno or 0) + 1)
        found.append(Mutant(path, place.name, place.is_function, *told[1:], seen[told], start, end, lines))
        seen[told] += 1
    return found


_Code = ast.stmt | ast.expr


@dataclass(frozen=True)
class _Place:
    name: str = ""
    is_function: bool = False

    def within(self, node: ast.AST) -> _Place:
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                pass
            case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]) if (
                not self.is_function
            ):
                pass
            case _:
                return self
        return _Place(
            f"{self.name}.{name}".removeprefix("."), isinstance(node, ast.FunctionDef) or self.is_function
        )


def _changes(
    node: ast.AST, place: _Place, *, is_model: bool, is_wording: bool = False
) -> Iterator[tuple[_Place, _Code, ast.AST]]:
    """Yield in which place something can be changed, what, and what it becomes."""
    outside, place = place, place.within(node)
    if isinstance(node, ast.FunctionDef):
        # They are made when the function is.
        for default in (*node.args.defaults, *node.args.kw_defaults):
            if default:
                yield from _changes(default, outside, is_model=is_model)
    is_wording = is_wording or (isinstance(node, ast.Call) and _makes_an_error(node))
    if isinstance(node, ast.expr):
        yield from ((place, node, change) for change in _of_expression(node, is_wording=is_wording))
    if isinstance(node, ast.stmt):
        yield from ((place, *change) for change in _of_statement(node, is_model=is_model))
    if is_model and isinstance(node, ast.AnnAssign):
        yield from ((place, *change) for change in _of_annotation(node.annotation))
    for part in _parts(node):
        yield from _changes(part, place, is_model=is_model, is_wording=is_wording)


def _parts(node: ast.AST) -> Iterator[ast.AST]:  # noqa: C901  one case a kind
    """Yield the parts of a node that are behaviour."""
    match node:
        case ast.FunctionDef():
            yield from node.body
        case ast.ClassDef():
            yield from node.body
        case ast.Import() | ast.ImportFrom() | ast.JoinedStr() | ast.pattern():
            pass
        case ast.AnnAssign(annotation=ast.Name(id="TypeAlias"), value=ast.BinOp()):
            pass
        case ast.AnnAssign(value=ast.expr() as value):
            yield value
        case ast.AnnAssign():
            pass
        case (
            ast.Expr(value=ast.Constant())
            | ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id="log"))))
        ):
            pass
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            pass
        case ast.Call(func=ast.Name(id="cast" | "TypeVar" | "ParamSpec")):
            yield from node.args[1:]
        case (
            ast.Subscript(value=ast.Name(id="dict" | "list" | "Literal"))
            | ast.keyword(arg="init" | "kw_only")
        ):
            pass
        case ast.keyword(arg=str() as name) if name in _READ_BY_PEOPLE:
            pass
        case _:
            yield from ast.iter_child_nodes(node)


def _makes_an_error(call: ast.Call) -> bool:
    text = ast.unparse(call.func)
    return (
        text.startswith("errors.") or text == "Problem" or text.endswith(("Error", "Uncertain", "Unusable"))
    )


def _with(node: Any, **fields: Any) -> Any:
    """Return a copy of a node with other fields."""
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def _without_each(items: list[Any]) -> Iterator[list[Any]]:
    return (items[:index] + items[index + 1 :] for index in range(len(items)))


def _of_expression(node: ast.expr, *, is_wording: bool) -> Iterator[ast.expr]:  # noqa: C901, PLR0912  one case a kind
    match node:
        case ast.Compare():
            for index, old in enumerate(node.ops):
                for new in _COMPARISONS[type(old)]:
                    yield _with(node, ops=[*node.ops[:index], new(), *node.ops[index + 1 :]])
        case ast.BoolOp():
            yield _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
            for values in _without_each(node.values):
                yield _with(node, values=values) if len(values) > 1 else values[0]
        case ast.UnaryOp():
            yield node.operand
        case ast.BinOp(op=ast.BitOr()):
            yield from (node.left, node.right)
        case ast.BinOp() if type(node.op) in _OPERATORS:
            yield _with(node, op=_OPERATORS[type(node.op)]())
        case ast.IfExp():
            yield from (node.body, node.orelse)
        case ast.Constant():
            yield from (ast.Constant(value) for value in _others(node.value, is_wording=is_wording))
        case ast.JoinedStr() if not is_wording:
            yield ast.Constant("")
        case ast.Name(id=name) if name in _FUNCTIONS:
            yield ast.Name(_FUNCTIONS[name])
        case ast.Tuple(ctx=ast.Load()) | ast.List(ctx=ast.Load()) | ast.Set():
            if len({type(item) for item in node.elts}) == 1:
                yield from (_with(node, elts=rest) for rest in _without_each(node.elts))
        case ast.Dict():
            for pairs in _without_each(list(zip(node.keys, node.values, strict=True))):
                yield ast.Dict([key for key, _ in pairs], [value for _, value in pairs])
        case ast.Call() if ast.unparse(node.func) not in _DECLARES:
            for index, keyword in enumerate(node.keywords):
                if keyword.arg not in _READ_BY_PEOPLE:
                    yield _with(node, keywords=node.keywords[:index] + node.keywords[index + 1 :])
        case ast.ListComp() | ast.GeneratorExp() | ast.DictComp():
            for index, loop in enumerate(node.generators):
                if loop.ifs:
                    loops = [*node.generators[:index], _with(loop, ifs=[]), *node.generators[index + 1 :]]
                    yield _with(node, generators=loops)
        case _:
            pass


def _others(value: object, *, is_wording: bool) -> Iterator[str | bool | float]:
    match value:
        case bool():
            yield not value
        case int():
            yield from (value + 1, value - 1)
        case float():
            yield from (value * 2, value / 2) if value else (1.0,)
        case "safe" | "uncertain" | "never":
            yield from (verdict for verdict in _VERDICTS if verdict != value)
        case str() if not is_wording:
            yield f"{value}x"
        case _:
            pass


def _of_statement(node: ast.stmt, *, is_model: bool) -> Iterator[tuple[_Code, ast.AST]]:
    match node:
        case ast.If(test=test) | ast.While(test=test) if not isinstance(test, ast.Constant):
            # A loop that has no end would only cost time.
            yield from (
                (test, ast.Constant(value)) for value in (False, True)[: 1 + isinstance(node, ast.If)]
            )
        case ast.Return(value=ast.expr() as value) if ast.unparse(value) != "None":
            yield node, ast.Return(ast.Constant(None))
        case (
            ast.Expr(value=ast.Constant())
            | ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id="log"))))
        ):
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
        case ast.AnnAssign() if is_model and ast.unparse(node.annotation).startswith(
            ("Annotated", "NotRequired")
        ):
            yield node, ast.Pass()
            if node.value:
                yield node, _with(node, value=None)
        case _:
            pass


def _of_annotation(node: ast.expr) -> Iterator[tuple[_Code, ast.AST]]:  # noqa: C901  one case a kind
    """Yield changes of a type: one of its values or bounds, one more, null besides, or another type."""
    match node:
        case ast.Subscript(value=ast.Name(id="ClassVar" | "Final")):
            return
        case ast.Subscript(value=ast.Name(id="Literal")):
            values = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            last: Any = ast.literal_eval(values[-1])
            more = ast.Constant(f"{last}x" if isinstance(last, str) else last + 1)
            for changed in (*_without_each(values), [*values, more]):
                yield node, _with(node, slice=ast.Tuple(changed or [more], ast.Load()))
            return
        case ast.Subscript(value=ast.Name(id="IntOrStr" | "BoolOnly")):
            yield node, node.slice
        case ast.BinOp():
            yield from ((node, node.left), (node, node.right))
        case ast.Name(id=name) if name in _TYPES:
            yield node, ast.Name(_TYPES[name])
        case ast.Subscript(value=ast.Name(id="Annotated"), slice=ast.Tuple(elts=[kind, field])):
            if "None" not in ast.unparse(kind):
                nullable = ast.BinOp(kind, ast.BitOr(), ast.Constant(None))
                yield node, _with(node, slice=ast.Tuple([nullable, field], ast.Load()))
            yield from ((place, change) for _, place, change in _changes(field, _Place(), is_model=True))
            yield from _of_annotation(kind)
            return
        case _:
            pass
    for part in ast.iter_child_nodes(node):
        if isinstance(part, ast.expr):
            yield from _of_annotation(part)
