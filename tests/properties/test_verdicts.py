"""A generated model takes, sends and says of the rest what its packaged schema and the rules ask for.

`make test` judges every single edit of a few inputs of each model, a dropped spec's included, and some inputs with
several edits; `make fuzz` judges 100,000 of both, prints how many, and keeps what it finds.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from kling_sandbox.validation import InvalidParams, Validator

from .differences import DIFFERENCES, TWINS, Difference
from .edits import edits
from .judging import Judge
from .models import models
from .searching import every_edit, several_edits

MODELS = models()
PAGE = Path(__file__).parents[2] / "docs" / "validation.md"

# What was found once, and was wrong.
FOUND: list[tuple[str, Any]] = [
    ("kling-2", {"prompt": "\ud800"}),
    ("kling-2", {"prompt": "x", "duration": 5.0}),
    ("kling-2", {"prompt": "x", "start_image": "https://e\ufefff/a"}),
    ("kling-2", {"prompt": "x", "start_image": "https://e\x1ff/a"}),
    ("kling-2", {"prompt": "x", "": 1}),
    ("kling-3-pro-image2video", {"prompt": "@Element1@Element1", "start_image_url": "https://e.com/a"}),
    ("corners", {"self": {"json": [1]}, "text": "@View2"}),
    ("corners", {"self": {"json": [1]}, "level": True, "ratio": 1}),
    ("corners", {"self": {"json": [1]}, "level": "1", "ratio": 1, "code": None}),
    ("corners", {"self": {"json": [1]}, "def_": "x", "flag": True, "code": None}),
    ("corners", {"self": {"json": [1, 2, -2]}}),
    ("corners", {"self": {"json": [1]}, "board": [], "\ud800": 1}),
    ("corners", {"self": {"json": [1]}, "board": [[{"tags": ["a", "b", "long"]}, {}, 1]]}),
]


@pytest.mark.parametrize("slug", sorted(MODELS))
def test_no_single_edit_is_judged_otherwise(slug: str) -> None:
    judge = every_edit(*MODELS[slug])
    print(f"{slug}: {judge.judged} edited inputs, of which {judge.taken} are taken")  # noqa: T201  `make fuzz` shows it
    assert 0 < judge.taken < judge.judged


@pytest.mark.parametrize("slug", sorted(MODELS))
def test_every_one_of_several_edits_is_reported_and_nothing_else(slug: str) -> None:
    judge = several_edits(*MODELS[slug])
    print(f"{slug}: {judge.judged} inputs with several edits, of which {judge.taken} are taken")  # noqa: T201  `make fuzz` shows it
    assert judge.taken < judge.judged


@pytest.mark.parametrize("slug", sorted(MODELS))
def test_the_sandbox_takes_what_schema_and_rules_allow(slug: str) -> None:
    """It reads twins as the gateway does; in all else it is the schema."""
    schema, model = MODELS[slug]
    judge, sandbox = Judge(schema, model), Validator(schema)
    for given in schema["examples"]:
        for edit in edits(schema, given):
            if (body := over_http(edit.of(given))) is not None:
                assert allowed(sandbox, body) == (not judge.verdict(body, TWINS).broken), body


def over_http(body: Any) -> Any:
    """Return a body as it arrives, or None for one that no request can have."""
    try:
        text = json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError):
        return None
    return json.loads(text) if isinstance(body, dict) else None


def allowed(sandbox: Validator, body: dict[str, Any]) -> bool:
    try:
        sandbox.check(body)
    except InvalidParams:
        return False
    return True


@pytest.mark.parametrize(("slug", "body"), FOUND)
def test_what_was_found_is_still_right(slug: str, body: Any) -> None:
    assert Judge(*MODELS[slug]).disagreement(body) is None


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.name)
def test_each_difference_is_there(difference: Difference) -> None:
    schema, model = MODELS["corners"]
    body = {"self": {"json": [1]}, **difference.example}
    judge = Judge(schema, model)
    assert judge.disagreement(body) is None
    if difference.read:
        assert judge.taken
        assert repr(judge.verdict(body).plain) != repr(body)
    else:
        assert not judge.taken
        assert judge.allows(body)


def test_the_page_lists_every_difference() -> None:
    rows = re.findall(r"^\| (.+?) \| (takes|refuses) \| (.+?) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert rows == [(known.name, "takes" if known.read else "refuses", known.reason) for known in DIFFERENCES]
