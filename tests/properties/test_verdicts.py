"""A generated model accepts, sends and reports what its packaged schema and the rules require.

`make test` judges every single edit of a few inputs of each model, a dropped spec's included, and some inputs with
several edits; `make fuzz` judges 100,000 of both, prints the number, and stores failing inputs.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from kling_sandbox.validation import InvalidParams, Validator

from .differences import ALTERNATE_FORMS, DIFFERENCES, Difference
from .edits import edits
from .judging import Judge, StandardJudge, send_as_json
from .models import models
from .searching import every_edit, several_edits

MODELS = models()
PAGE = Path(__file__).parents[2] / "docs" / "validation.md"

# Inputs that were judged wrongly once.
REGRESSIONS: list[tuple[str, Any]] = [
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
def test_single_edits_are_judged_correctly(slug: str) -> None:
    judge = every_edit(*MODELS[slug])
    print(f"{slug}: {judge.judged} edited inputs, of which {judge.accepted} are accepted")  # noqa: T201  `make fuzz` shows it
    assert 0 < judge.accepted < judge.judged


@pytest.mark.parametrize("slug", sorted(MODELS))
def test_combined_edits_are_reported_exactly(slug: str) -> None:
    judge = several_edits(*MODELS[slug])
    print(f"{slug}: {judge.judged} inputs with several edits, of which {judge.accepted} are accepted")  # noqa: T201  `make fuzz` shows it
    assert judge.accepted < judge.judged


@pytest.mark.parametrize("slug", sorted(MODELS))
def test_sandbox_accepts_valid_bodies_only(slug: str) -> None:
    """It reads alternate forms as the gateway does; otherwise it follows the schema."""
    schema, model = MODELS[slug]
    judge, sandbox = Judge(schema, model), Validator(schema)
    for example in schema["examples"]:
        for edit in edits(schema, example):
            if (body := send_as_json(edit.of(example))) is not None:
                assert allowed(sandbox, body) == (not judge.verdict(body, ALTERNATE_FORMS).broken), body


@pytest.mark.parametrize("slug", sorted(slug for slug in MODELS if "allOf" in MODELS[slug][0]))
def test_standard_form_of_rules_allows_same_bodies(slug: str) -> None:
    """The rules that JSON Schema can express refuse the same bodies in both forms, if the fields are valid."""
    schema, _ = MODELS[slug]
    judge = StandardJudge(schema)
    verdicts: set[bool] = set()
    for example in schema["examples"]:
        for edit in edits(schema, example):
            body = send_as_json(edit.of(example))
            if body is not None and judge.allows_fields(body):
                verdicts.add(judge.allows(body))
                assert judge.agrees(body), body
    assert verdicts == {True, False}


def allowed(sandbox: Validator, body: dict[str, Any]) -> bool:
    try:
        sandbox.check(body)
    except InvalidParams:
        return False
    return True


@pytest.mark.parametrize(("slug", "body"), REGRESSIONS)
def test_regressions_are_judged_correctly(slug: str, body: Any) -> None:
    assert Judge(*MODELS[slug]).disagreement(body) is None


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.name)
def test_listed_difference_exists(difference: Difference) -> None:
    schema, model = MODELS["corners"]
    body = {"self": {"json": [1]}, **difference.example}
    judge = Judge(schema, model)
    assert judge.disagreement(body) is None
    if difference.read:
        assert judge.accepted
        assert repr(judge.verdict(body).plain) != repr(body)
    else:
        assert not judge.accepted
        assert judge.allows(body)


def test_page_lists_every_difference() -> None:
    rows = re.findall(r"^\| (.+?) \| (takes|refuses) \| (.+?) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert rows == [
        (difference.name, "takes" if difference.read else "refuses", difference.reason)
        for difference in DIFFERENCES
    ]
