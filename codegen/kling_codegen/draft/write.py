"""YAML of a draft spec, in the style of the hand-written specs."""

from __future__ import annotations

import re
from typing import Any, cast

import yaml

from kling_codegen.messages import escape_unprintable

# Text that every version of YAML reads as text.
PLAIN = re.compile(
    r"(?!(?:y|n|yes|no|on|off|true|false|null)$)[A-Za-z][^:#]*(?<! )|https?://\S+", re.IGNORECASE
)


class _Line(dict[str, Any]):
    """A mapping that is written on one line."""


class _Dumper(yaml.SafeDumper):
    """Dumper that indents lists, and quotes text that a YAML reader could misread."""

    def ignore_aliases(self, data: Any) -> bool:
        return True  # a spec has no anchors

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, indentless=False)

    def analyze_scalar(self, scalar: str) -> Any:
        analysis = super().analyze_scalar(scalar)
        # PyYAML quotes every colon within brackets; only one before a space needs it.
        analysis.allow_flow_plain |= bool(re.fullmatch(r"https?://[^\s,\[\]{}]+", scalar))
        return analysis

    def text(self, data: str) -> yaml.ScalarNode:
        is_plain = PLAIN.fullmatch(data) and escape_unprintable(data) == data
        return yaml.ScalarNode("tag:yaml.org,2002:str", data, style=None if is_plain else '"')

    def sequence(self, data: Any) -> yaml.SequenceNode:
        node = self.represent_list(data)
        node.flow_style = not any(isinstance(part, dict | list) for part in data)
        return node

    def in_one_line(self, data: Any) -> yaml.MappingNode:
        node = self.represent_dict(data)
        node.flow_style = True
        return node


_Dumper.add_representer(str, _Dumper.text)
_Dumper.add_representer(list, _Dumper.sequence)
_Dumper.add_representer(_Line, _Dumper.in_one_line)


def to_yaml(spec: dict[str, Any]) -> str:
    """Return the text of a spec file."""
    styled = spec | {"rules": [_Line(rule) for rule in spec["rules"]]} if "rules" in spec else spec
    # Releases of the stubs disagree about the signature.
    text: str = cast("Any", yaml).dump(
        styled, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000
    )
    # Unprintable characters are in double quotes, where an escape is the same text.
    lines = [escape_unprintable(line) for line in text.split("\n")]
    return "\n".join(["# yaml-language-server: $schema=schema/spec.schema.json", *lines])
