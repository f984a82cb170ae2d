"""Estimates of prices as one types: each reads the journal, so those of equal price are made once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

from kling_adapters import Estimate, KlingError
from kling_serve.connections import Connection
from kling_serve.models import Model

_MAX_ESTIMATES: Final = 500
_LONGEST_CHOICE: Final = 24


class Estimates:
    """The estimates since the journals changed last."""

    def __init__(self) -> None:
        self._version = -1
        self._estimates: dict[tuple[str, str, str], Estimate | None] = {}

    async def find(
        self, connection: Connection, model: Model, values: Mapping[str, Any], version: int
    ) -> Estimate | None:
        """Return the price of valid parameters; None if it cannot be estimated.

        Args:
            connection: The gateway.
            model: The model.
            values: The parameters.
            version: The version of the jobs, whose costs count.

        """
        if version != self._version or len(self._estimates) > _MAX_ESTIMATES:
            self._version = version
            self._estimates.clear()
        # Free text decides no price.
        key = (connection.name, model.slug, json.dumps(_drop_texts(dict(values)), sort_keys=True))
        if key not in self._estimates:
            try:
                self._estimates[key] = await connection.estimator.estimate(model.make_params(values))
            except KlingError:
                return None
        return self._estimates.get(key)


def _drop_texts(value: Any) -> Any:
    """Return a value with marks for texts and media."""
    if isinstance(value, Path):
        return "@"
    if isinstance(value, str):
        if value.startswith(("http://", "https://", "data:")):
            return "@"
        return value if len(value) <= _LONGEST_CHOICE and " " not in value else " "
    if isinstance(value, Mapping):
        return {name: _drop_texts(item) for name, item in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, list):
        items: list[Any] = value
        return [_drop_texts(item) for item in items]
    return value
