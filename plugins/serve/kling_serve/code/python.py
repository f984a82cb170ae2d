"""A call as a Python program."""

from __future__ import annotations

import keyword
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

from kling_serve.connections import Connection
from kling_serve.models import SPECS, Model

_RUN: Final = """\
{imports}from kling_adapters import Kling

with {client} as kling:
    result = kling.{call}
    for file in result.saved:
        print(file.path)
"""
_RAW: Final = """\
{imports}from kling_adapters import Kling

with {client} as kling:
    job = kling.{call}
    for file in job.wait().save("renders/"):
        print(file.path)
"""


def write_python(model: Model, values: Mapping[str, Any], connection: Connection) -> str:
    """Return a program; a model that no installed package has is submitted without its spec."""
    settings = "" if connection.base_url is None else f"\n    base_url={_write(connection.base_url)},"
    if connection.sandbox_key is not None:
        settings += f"\n    api_key={_write(connection.sandbox_key)},\n    journal=None,"
    client = f"Kling({settings}\n)" if settings else "Kling()"
    if model.origin == SPECS:
        call = f"submit_raw({_write(model.slug)}, {_write_object(values, 4)})"
    elif all(name.isidentifier() and not keyword.iskeyword(name) for name in values):
        arguments = "".join(f"        {name}={_write(value, 8)},\n" for name, value in values.items())
        call = f'run(\n        {_write(model.slug)},\n{arguments}        save_to="renders/",\n    )'
    else:
        call = f'run_model({_write(model.slug)}, {_write_object(values, 4)}, save_to="renders/")'
    template = _RAW if model.origin == SPECS else _RUN
    imports = "from pathlib import Path\n\n" if "Path(" in call else ""
    return template.format(imports=imports, client=client, call=call)


def _write(value: Any, indent: int = 0) -> str:
    """Return a value as an expression."""
    if isinstance(value, Path):
        return f"Path({_write(str(value))})"
    if isinstance(value, Mapping):
        return _write_object(cast("Mapping[str, Any]", value), indent)
    if isinstance(value, list):
        items: list[Any] = value
        if not any(isinstance(item, Mapping) for item in items):
            return f"[{', '.join(_write(item) for item in items)}]"
        space = " " * (indent + 4)
        lines = "".join(f"{space}{_write(item, indent + 4)},\n" for item in items)
        return f"[\n{lines}{' ' * indent}]"
    if isinstance(value, str):
        # As a formatter of code would have it.
        text = repr(value)
        return text if '"' in text else f'"{text[1:-1]}"'
    return repr(value)


def _write_object(values: Mapping[str, Any], indent: int) -> str:
    space = " " * (indent + 4)
    lines = "".join(
        f"{space}{_write(name)}: {_write(value, indent + 4)},\n" for name, value in values.items()
    )
    return f"{{\n{lines}{' ' * indent}}}"
