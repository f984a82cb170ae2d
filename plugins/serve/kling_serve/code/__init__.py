"""A call as code to copy: Python, curl and the shell. Each runs as it is; none has the key of the account."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kling_serve.code.curl import write_curl
from kling_serve.code.python import write_python
from kling_serve.code.shell import write_shell
from kling_serve.connections import Connection
from kling_serve.models import Model


@dataclass(frozen=True)
class Code:
    """One call in three forms.

    Attributes:
        python: A program.
        curl: Commands for a POSIX shell, with curl.
        shell: A command line of `kling`.

    """

    python: str
    curl: str
    shell: str


def write_code(model: Model, values: Mapping[str, Any], connection: Connection) -> Code:
    """Return a call as code.

    Args:
        model: The model.
        values: The parameters; local media is a path.
        connection: The gateway, of which only the address and the key of a sandbox are written.

    """
    return Code(
        write_python(model, values, connection),
        write_curl(model, values, connection),
        write_shell(model, values, connection),
    )
