"""What things are called in Python: pure functions of the names in a spec."""

from __future__ import annotations

import keyword
import re
import unicodedata
from collections.abc import Iterable

# What a generated module or its package calls by name. A field called like a type would hide that type from
# the annotations after it.
TAKEN = frozenset(
    re.findall(
        r"\w+",
        "Adapter Annotated Any AtLeastOneOf CATALOG CatalogEntry ClassVar BoolOnly Field IntOrStr Literal MISSING "
        "Mapping MaxBytes Media MutuallyExclusive NotRequired Params Part References Requires Sequence TypedDict schemas "
        "bool bytes dict float int list object set str tuple type",
    )
)
# Members of the models' base class, pydantic's deprecated ones included.
_MEMBERS = frozenset(
    re.findall(
        r"\w+",
        "adapter construct copy dict from_orm json json_schema parse_file parse_obj parse_raw schema "
        "schema_json self update_forward_refs validate wire "
        # and of its metaclass, which pydantic warns of as well
        "mro register",
    )
)


def class_name(slug: str) -> str:
    """Return the name of the class of a model: kling-2.5-turbo -> Kling25Turbo."""
    return "".join(word[:1].upper() + word[1:] for word in re.split(r"[.-]", slug))


def module_name(slug: str) -> str:
    """Return the name of the module of a model: kling-2.5-turbo -> kling_2_5_turbo."""
    return re.sub(r"[.-]", "_", slug)


def field_names(wires: Iterable[str]) -> dict[str, str]:
    """Return what the parameters of one object are called: as in the JSON, plus an underscore if needed.

    Python keywords, members of the base class and what a generated module uses itself are taken.
    """
    called = {wire: _field_name(wire) for wire in wires}
    # A parameter that keeps its name has the first right to it.
    taken = {wire for wire, name in called.items() if wire == name}
    for wire in sorted(called.keys() - taken):
        while called[wire] in taken:
            called[wire] += "_"
        taken.add(called[wire])
    return called


def _field_name(wire: str) -> str:
    # Python reads every name in this form.
    normal = unicodedata.normalize("NFKC", wire)
    name = "".join(c if f"a{c}".isidentifier() else "_" for c in normal).lstrip("_")
    if not name.isidentifier():
        name = f"field_{name}"
    if is_taken(name) or name in _MEMBERS or name.startswith("model_"):
        name += "_"
    return name


def can_be_argument(wire: str) -> bool:
    """Whether a call can give a parameter as `wire=...`. Python takes a name that it writes otherwise for another."""
    return wire.isidentifier() and not keyword.iskeyword(wire) and unicodedata.is_normalized("NFKC", wire)


def is_taken(name: str) -> bool:
    """Whether nothing from a spec can be called so."""
    return keyword.iskeyword(name) or name in TAKEN
