"""A draft spec -> YAML in the style of the hand-written specs."""

from __future__ import annotations

import io
import re
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.representer import RoundTripRepresenter
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

# Text that no version of YAML takes for something else.
PLAIN = re.compile(
    r"(?!(?:y|n|yes|no|on|off|true|false|null)$)[A-Za-z][^:#]*(?<! )|https?://\S+", re.IGNORECASE
)


class _Representer(RoundTripRepresenter):
    def represent_none(self, data: None) -> Any:
        writer: Any = self
        return writer.represent_scalar("tag:yaml.org,2002:null", "null")


_Representer.add_representer(type(None), _Representer.represent_none)  # pyright: ignore[reportUnknownMemberType]


def to_yaml(spec: dict[str, Any]) -> str:
    """Return the text of a spec file."""
    yaml: Any = YAML()
    yaml.Representer = _Representer
    yaml.width = 10_000
    yaml.indent(mapping=2, sequence=4, offset=2)
    out = io.StringIO()
    yaml.dump(_styled(spec, rule=False), out)
    return f"# yaml-language-server: $schema=schema/spec.schema.json\n{out.getvalue()}"


def _styled(value: Any, *, rule: bool) -> Any:
    """Return a value with rules and plain lists in one line, and quotes where a reader could err."""
    if isinstance(value, dict):
        pairs: dict[str, Any] = value  # pyright: ignore[reportUnknownVariableType]
        made: Any = CommentedMap({key: _styled(part, rule=key == "rules") for key, part in pairs.items()})
        if rule:
            made.fa.set_flow_style()
        return made
    if isinstance(value, list):
        items: list[Any] = value  # pyright: ignore[reportUnknownVariableType]
        made = CommentedSeq([_styled(part, rule=rule) for part in items])
        if not any(isinstance(part, dict | list) for part in items):
            made.fa.set_flow_style()
        return made
    return DoubleQuotedScalarString(value) if isinstance(value, str) and not PLAIN.fullmatch(value) else value
