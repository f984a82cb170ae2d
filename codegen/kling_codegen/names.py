"""Names in Python, made of the names in a spec; and the name of a package."""

from __future__ import annotations

import keyword
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from kling_codegen.rules.rule import RULE_CLASSES

PARAM_TYPES = frozenset(
    re.findall(r"\w+", "AudioMedia BoolOnly Deprecation ImageMedia IntOrStr Media TextOr VideoMedia")
)
"""The names that generated modules import from kling_adapters.schema.param_types."""
# Names that a generated module or its package uses. A field with the name of a type would hide that type from
# the annotations after it.
RESERVED = (
    RULE_CLASSES
    | PARAM_TYPES
    | frozenset(
        re.findall(
            r"\w+",
            "Adapter Annotated Any CATALOG CatalogEntry ClassVar Field Literal MISSING "
            "Mapping NotRequired Params Part PartialParams Retirement Sequence TypedDict schemas "
            "bool bytes dict float int list object set str tuple type",
        )
    )
)
# Members of the models' base class, pydantic's deprecated ones included.
_MEMBERS = frozenset(
    re.findall(
        r"\w+",
        "adapter construct copy dict from_orm json json_schema parse_file parse_obj parse_raw schema "
        "schema_json self unchecked update_forward_refs validate wire "
        # and of its metaclass, which pydantic warns of as well
        "mro register",
    )
)


def package_name(folder: Path) -> str:
    """Return the import name of a folder: its own, after those of the packages that contain it."""
    folder = folder.absolute()
    parts = [folder.name]
    while (folder := folder.parent) != folder.parent and (folder / "__init__.py").exists():
        parts.insert(0, folder.name)
    return ".".join(parts)


def class_name(slug: str) -> str:
    """Return the name of the class of a model: kling-2.5-turbo -> Kling25Turbo."""
    return "".join(word[:1].upper() + word[1:] for word in re.split(r"[.-]", slug))


def module_name(slug: str) -> str:
    """Return the name of the module of a model: kling-2.5-turbo -> kling_2_5_turbo."""
    return re.sub(r"[.-]", "_", slug)


def field_names(wires: Iterable[str]) -> dict[str, str]:
    """Return the names of the fields of one object: as in the JSON, plus an underscore where needed.

    Python keywords, members of the base class and the names that a generated module uses are reserved.
    """
    names = {wire: _field_name(wire) for wire in wires}
    # A parameter that keeps its name has the first right to it.
    used = {wire for wire, name in names.items() if wire == name}
    for wire in sorted(names.keys() - used):
        while names[wire] in used:
            names[wire] += "_"
        used.add(names[wire])
    return names


def _field_name(wire: str) -> str:
    # Python reads every name in this form.
    normal = unicodedata.normalize("NFKC", wire)
    name = "".join(c if f"a{c}".isidentifier() else "_" for c in normal).lstrip("_")
    if not name.isidentifier():
        name = f"field_{name}"
    if is_reserved(name) or name in _MEMBERS or name.startswith("model_"):
        name += "_"
    return name


def can_be_argument(wire: str) -> bool:
    """Return whether a call can pass a parameter as `wire=...`. Python normalizes some names to others."""
    return wire.isidentifier() and not keyword.iskeyword(wire) and unicodedata.is_normalized("NFKC", wire)


def is_reserved(name: str) -> bool:
    """Return whether a name from a spec must not be used as it is."""
    return keyword.iskeyword(name) or name in RESERVED
