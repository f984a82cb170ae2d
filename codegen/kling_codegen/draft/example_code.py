"""The parameters in the code example of a page."""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Sequence
from typing import Any, TypeAlias, cast

Lines: TypeAlias = Sequence[tuple[int, str]]

LITERALS = {"true": True, "false": False, "null": None}
# Errors of parsing and evaluating code that is not a literal, or is incomplete.
UNUSABLE = (SyntaxError, ValueError, TypeError, LookupError, AttributeError, MemoryError, RecursionError)
# The example of a real page has up to fifty lines.
MAX_TRIES, MAX_LINES, MAX_CODE = 100, 200, 10_000


def find_example(code: Lines) -> tuple[int, dict[str, Any], dict[str, int]]:
    """Return line, values and their lines of the example: of the client (payload, or run) or of requests (data)."""
    if script := _find_script(code):
        return script
    tries = 0
    for start, (number, line) in enumerate(code):
        if not re.match(r"\s*(?:(?:payload|data)\s*=\s*\{|\w+\s*=\s*\w+\.run\()", line):
            continue
        for end in range(start + 1, min(start + MAX_LINES, len(code)) + 1):
            # The code can only end there; the next part of the page may follow on the same line.
            if not re.search(r"[})]", code[end - 1][1]):
                continue
            tries += 1
            text = "\n".join(line for _, line in code[start:end])
            if tries > MAX_TRIES or len(text) > MAX_CODE:
                break
            try:
                with warnings.catch_warnings(action="ignore"):
                    tree = ast.parse(text.lstrip())
                mapping = _Values().visit(cast("ast.Assign", tree.body[0]).value)
                # Through JSON, so that only JSON values pass.
                values: Any = json.dumps(ast.literal_eval(mapping), ensure_ascii=False, allow_nan=False)
                values = json.loads(values.encode())
                keys = [ast.literal_eval(key) for key in mapping.keys]
            except UNUSABLE:
                continue
            places = zip(keys, mapping.values, strict=True)
            return number, values, {str(key): number + node.lineno - 1 for key, node in places}
    return 0, {}, {}


def _find_script(code: Lines) -> tuple[int, dict[str, Any], dict[str, int]] | None:
    """Return the data of an example in JavaScript, whose lines the oldest pages run together."""
    for number, line in code:
        if match := re.search(r"\b(?:const|let|var) data = (?=\{)", line):
            try:
                values, _ = json.JSONDecoder().raw_decode(line[match.end() : match.end() + MAX_CODE])
                json.dumps(values, ensure_ascii=False, allow_nan=False).encode()
            except UNUSABLE:
                continue
            return number, values, dict.fromkeys(values, number)
    return None


class _Values(ast.NodeTransformer):
    """Converter of the arguments of a call to a dictionary, and of JSON literals to Python."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        pairs = {keyword.arg: keyword.value for keyword in node.keywords}
        mapping = ast.Dict([ast.Constant(name) for name in pairs], list(pairs.values()))
        return cast("ast.AST", self.visit(mapping))

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Constant(LITERALS[node.id], lineno=node.lineno, col_offset=0)
