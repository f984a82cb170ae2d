"""The search of `test_verdicts.py` catches faults that are planted in the source of a module."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import kling_adapters

from .judging import disagreements
from .models import golden, load_model
from .searching import every_edit

RUNTIME = Path(kling_adapters.__file__).parent
# In the order of their imports.
MODULES = (
    "media.urls",
    "schema.paths",
    "schema.when",
    "schema.totals",
    "schema.rules",
    "schema.param_types",
    "schema.declared",
    "schema.fields",
    "schema.rule_values",
    "schema.core_lists",
    "schema.checks",
    "schema.params",
)
GOLDEN = golden()
FULL, CORNERS, RULED = "full-1.5", "corners", "every-rule"
# Name, golden model, module ("" for the generated one), text, faulty text, expected message.
FAULTS = [
    ("bound widened", FULL, "", "ge=0, le=1,", "ge=0, le=1.5,", "accepts what breaks ['strength']"),
    ("enum value dropped", FULL, "", '    ratio: Annotated[Literal["16:9", "9:16"]', '    ratio: Annotated[Literal["16:9"]', 'refuses a valid input: ["ratio'),
    ("strict removed", FULL, "schema.params", "strict=True,\n", "strict=False,\n", "accepts what breaks ['prompt']"),
    ("rule removed", FULL, "", 'MutuallyExclusive("mask_url", "grid", "steps"),', "", "accepts what breaks ['grid']"),
    ("max length off by one", FULL, "", "max_length=512", "max_length=513", "accepts what breaks ['prompt']"),
    ("nullable added", FULL, "", "seed: Annotated[int |", "seed: Annotated[int | None |", "accepts what breaks ['seed']"),
    ("default sent", FULL, "schema.fields", "if (with_defaults or name in set_names) and", "if", "it sends"),
    ("alias lost", FULL, "", 'alias="class", ', "", "refuses a valid input: ['class: unknown"),
    ("nested model open", FULL, "", "class Camera(Part)", 'class Camera(Part, extra="ignore")', "accepts what breaks ['shots[0].camera."),
    ("references off by one", FULL, "schema.rules", "int(digits) > count", "int(digits) > count + 1", "accepts what breaks ['prompt']"),
    ("bound excluded", FULL, "", "ge=0, le=1,", "ge=0, lt=1,", "refuses a valid input"),
    ("items off by one", FULL, "", "max_length=3, ", "max_length=4, ", "accepts what breaks ['shots']"),
    ("no longer required", FULL, "", "Field(max_length=4, min_length=1,", "Field(default=(), max_length=4, min_length=1,", "names"),
    ("alternate form refused", FULL, "", 'IntOrStr[Literal["1", "2"]]', 'Literal["1", "2"]', "refuses a valid input"),
    ("alternate form sent", FULL, "schema.param_types", "return declared_forms.get(value, value)", "return value", "refuses a valid input"),
    ("zero for false", FULL, "", "BoolOnly[Literal[False]]", "Literal[False]", "accepts what breaks ['silent']"),
    ("wrong value required", FULL, "", 'equals={"duration": 5}', 'equals={"duration": 10}', "refuses a valid input: ['mask_url"),
    ("null counts as set", FULL, "schema.rules", "if all(set_values.get(name) is None", 'if all(set_values.get(name, "") == ""', "broken are"),
    ("default counts as set", FULL, "schema.rules", "if all(set_values.get(name)", "if all(values.get(name)", "broken are ['images', 'note', 'prompt']"),
    ("default not compared", CORNERS, "schema.checks", "ValidValues(self._model, members), set_values", "set_values, set_values", "accepts what breaks ['text']"),
    ("condition removed", RULED, "", 'equals={"sound": (True,)}, min_length', 'equals={"sound": ()}, min_length', "accepts what breaks ['sound_prompt']"),
    ("default not in a condition", RULED, "schema.when", "find_values(path, values)", "find_values(path, set_values)", "accepts what breaks ['duration']"),
    ("nested default not in a condition", RULED, "schema.fields", "[dump_set_fields(item, with_defaults=with_defaults)", "[dump_set_fields(item)", "broken are ['shots', 'shots[0].duration']"),
    ("one item for all", RULED, "schema.when", "_indexes(location) in items | {()}", "items", "refuses a valid input: ["),
    ("consequence outside the list ignored", RULED, "schema.when", "_indexes(location) in items | {()}", "_indexes(location) in items", "accepts what breaks ['sound_prompt']"),
    ("bound of a condition off by one", RULED, "schema.when", "amount <= limit)", "amount <= limit + 1)", "accepts what breaks ['"),
    ("two of exactly one", RULED, "", 'ExactlyOneOf("image_url", "video_url")', 'AtLeastOneOf("image_url", "video_url")', "accepts what breaks ['video_url']"),
    ("sum of floats", RULED, "schema.totals", "Fraction(repr(number)) if", "Fraction(number) if", "names ['shots[1].strength'], broken are ['shots', "),
    ("sum without defaults", RULED, "schema.totals", "_add(values.get(list_name)", "_add(set_values.get(list_name)", "accepts what breaks ['shots']"),
    ("unset list has an item", FULL, "schema.paths", "        return 0\n", "        return 1\n", "accepts what breaks ['note']"),
    ("default not read beside an error", RULED, "schema.rule_values", "if value is MISSING and self._with_defaults else value", "if False else value", "broken are ["),
    ("tuple refused", FULL, "schema.core_lists", "(list, tuple)", "list", "is not a list'"),
    ("infinity", CORNERS, "schema.params", "allow_inf_nan=False", "allow_inf_nan=True", "accepts what breaks ['ratio']"),
    ("lone surrogates", CORNERS, "schema.params", "str_max_length=sys.maxsize,", "", "accepts what breaks ['text']"),
    ("space in a URL", CORNERS, "media.urls", r"/?#][^\s", "/?#][^", "accepts what breaks ['picture']"),
    ("true for 1", CORNERS, "schema.param_types", "if isinstance(value, bool) or not", "if not", "accepts what breaks ['level']"),
]  # fmt: skip


def planted(
    slug: str, place: str = "", text: str = "", fault: str = ""
) -> tuple[dict[str, Any], type[kling_adapters.Params]]:
    """Return the packaged schema of a golden model, and the model with a text in one of its modules replaced."""
    schema, module = GOLDEN[slug]
    runtime = {name: RUNTIME / f"{name.replace('.', '/')}.py" for name in MODULES}
    sources = {name: path.read_text("utf-8") for name, path in {**runtime, module.stem: module}.items()}
    sound = sources[place or module.stem]
    assert text in sound
    sources[place or module.stem] = sound.replace(text, fault, 1)
    return schema, load_model(sources)


def test_search_passes_without_fault() -> None:
    schema, model = planted(FULL)
    for body in schema["examples"]:
        assert not list(disagreements(schema, model, body))


@pytest.mark.parametrize(
    ("slug", "place", "text", "fault", "message"), [row[1:] for row in FAULTS], ids=[row[0] for row in FAULTS]
)
def test_search_catches_planted_fault(slug: str, place: str, text: str, fault: str, message: str) -> None:
    faulty = planted(slug, place, text, fault)
    with pytest.raises(AssertionError, match=re.escape(message)):
        every_edit(*faulty)
