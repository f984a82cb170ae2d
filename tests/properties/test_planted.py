"""The search of `test_verdicts.py` catches faults: each is planted in the text of a module, where it would live."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import kling_adapters

from .judging import disagreements
from .models import golden, loaded
from .searching import every_edit

RUNTIME = Path(kling_adapters.__file__).parent
MODULES = (
    "media.urls",
    "schema.rules",
    "schema.param_types",
    "schema.fields",
    "schema.checks",
    "schema.params",
)
GOLDEN = golden()
FULL, CORNERS = "full-1.5", "corners"
# What; with which golden model it shows, and in the text of which module it is; instead of what; what is said of it.
FAULTS = [
    ("bound widened", FULL, "", "ge=0, le=1,", "ge=0, le=1.5,", "takes what breaks ['strength']"),
    ("enum value dropped", FULL, "", '    ratio: Annotated[Literal["16:9", "9:16"]', '    ratio: Annotated[Literal["16:9"]', 'refuses what is right: ["ratio'),
    ("strict removed", FULL, "schema.params", "strict=True,\n", "strict=False,\n", "takes what breaks ['prompt']"),
    ("rule removed", FULL, "", 'MutuallyExclusive("mask_url", "grid", "steps"),', "", "takes what breaks ['grid']"),
    ("max length off by one", FULL, "", "max_length=512", "max_length=513", "takes what breaks ['prompt']"),
    ("nullable added", FULL, "", "seed: Annotated[int |", "seed: Annotated[int | None |", "takes what breaks ['seed']"),
    ("default sent", FULL, "schema.fields", "if name in value.model_fields_set and", "if", "it sends"),
    ("alias lost", FULL, "", 'alias="class", ', "", "refuses what is right: ['class: unknown"),
    ("nested model open", FULL, "", "class Camera(Part)", 'class Camera(Part, extra="ignore")', "takes what breaks ['shots[0].camera."),
    ("references off by one", FULL, "schema.rules", "int(number) > count", "int(number) > count + 1", "takes what breaks ['prompt']"),
    # And some more.
    ("bound excluded", FULL, "", "ge=0, le=1,", "ge=0, lt=1,", "refuses what is right"),
    ("items off by one", FULL, "", "max_length=3, ", "max_length=4, ", "takes what breaks ['shots']"),
    ("no longer required", FULL, "", "Field(max_length=4, min_length=1,", "Field(default=(), max_length=4, min_length=1,", "names"),
    ("no twin", FULL, "", 'IntOrStr[Literal["1", "2"]]', 'Literal["1", "2"]', "refuses what is right"),
    ("twin sent as it is", FULL, "schema.param_types", "return declared_forms.get(value, value)", "return value", "refuses what is right"),
    ("zero for false", FULL, "", "BoolOnly[Literal[False]]", "Literal[False]", "takes what breaks ['silent']"),
    ("other value needed", FULL, "", 'equals={"duration": 5}', 'equals={"duration": 10}', "refuses what is right: ['mask_url"),
    ("null given", FULL, "schema.rules", "if all(set_values.get(name) is None", "if all(name not in set_values", "broken are"),
    ("default given", FULL, "schema.rules", "if all(set_values.get(name)", "if all(values.get(name)", "broken are ['images', 'note', 'prompt']"),
    ("default not counted", CORNERS, "schema.checks", "dump_set_fields(field.default)", "None", "takes what breaks ['text']"),
    ("infinity", CORNERS, "schema.params", "allow_inf_nan=False", "allow_inf_nan=True", "takes what breaks ['ratio']"),
    ("half characters", CORNERS, "schema.params", "str_max_length=sys.maxsize,", "", "takes what breaks ['text']"),
    ("space in a URL", CORNERS, "media.urls", r"/?#][^\s", "/?#][^", "takes what breaks ['picture']"),
    ("true for 1", CORNERS, "schema.param_types", "if isinstance(value, bool) or not", "if not", "takes what breaks ['level']"),
]  # fmt: skip


def planted(
    slug: str, place: str = "", text: str = "", fault: str = ""
) -> tuple[dict[str, Any], type[kling_adapters.Params]]:
    """Return the packaged schema of a golden model, and the model with a text in one of its modules replaced."""
    schema, module = GOLDEN[slug]
    paths = {name: RUNTIME.joinpath(*name.split(".")).with_suffix(".py") for name in MODULES}
    sources = {name: path.read_text("utf-8") for name, path in (*paths.items(), (module.stem, module))}
    sound = sources[place or module.stem]
    assert text in sound
    sources[place or module.stem] = sound.replace(text, fault, 1)
    return schema, loaded(sources)


def test_without_a_fault_nothing_is_found() -> None:
    schema, model = planted(FULL)
    for body in schema["examples"]:
        assert not list(disagreements(schema, model, body))


@pytest.mark.parametrize(
    ("slug", "place", "text", "fault", "said"), [row[1:] for row in FAULTS], ids=[row[0] for row in FAULTS]
)
def test_a_fault_is_found(slug: str, place: str, text: str, fault: str, said: str) -> None:
    faulty = planted(slug, place, text, fault)
    with pytest.raises(AssertionError, match=re.escape(said)):
        every_edit(*faulty)
