"""How figures, values and hints are written in the messages of errors."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import Field

from kling_adapters import Params, ParamsInvalid, Problem, WaitTimeout
from kling_adapters._text import escape, format_number, format_sum
from kling_adapters.errors import UNCHECKED_ADVICE
from kling_adapters.models import Kling2, Kling3ProImage2video, Kling25Turbo, KlingO1
from kling_adapters.schema.adapter import Adapter
from kling_adapters.schema.rules import MaxBytes, References, Requires

URL = "https://example.com/a.png"


def invalid(model: type[Params], **params: Any) -> ParamsInvalid:
    with pytest.raises(ParamsInvalid) as caught:
        model.model_validate(params)
    return caught.value


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (2147483647, "2147483647"),
        (2147483647.0, "2147483647"),
        (0.1, "0.1"),
        (1e-7, "0.0000001"),
        (-0.5, "-0.5"),
        (12345678.9, "12345678.9"),
        (1e300, "1e+300"),
        (float("inf"), "inf"),
    ],
)
def test_number_has_all_its_digits(number: float, text: str) -> None:
    assert format_number(number) == text


def test_sum_has_no_rounding_noise() -> None:
    assert format_sum(0.1 + 0.2) == "0.3"
    assert format_sum(sum([0.1] * 1000)) == "100"


class Seeded(Params):
    """Bounds that `:g` would round."""

    adapter: ClassVar[Adapter] = Adapter("seeded-1", "Seeded 1", "video", rules=(MaxBytes("note", bytes=3),))
    seed: Annotated[int, Field(ge=-2147483648, le=2147483647)] = 0
    weight: Annotated[float, Field(ge=0.0000001, le=16777217)] = 1
    note: Annotated[str, Field()] = ""


def test_bounds_are_exact() -> None:
    assert [str(problem) for problem in invalid(Seeded, seed=2147483648, weight=1e-8).problems] == [
        "seed: 2147483648 is too large; allowed: at most 2147483647",
        "weight: 1e-08 is too small; allowed: at least 0.0000001",
    ]
    [problem] = invalid(Seeded, seed=-(10**10), weight=16777217).problems
    assert problem.allowed == "at least -2147483648"


def test_timeout_shows_fractions_of_seconds() -> None:
    assert "has not ended after 1.5 s" in str(WaitTimeout("job-1", 1.5, None))
    assert "has not ended after 900 s" in str(WaitTimeout("job-1", 900.0004, None))


NASTY = "\x1b[31m\x00\r\n\u202e\ud800\x85"


@pytest.mark.parametrize(
    ("model", "params"),
    [
        (Kling2, {"prompt": "x", NASTY: 1}),
        (Kling2, {"prompt": NASTY, "aspect_ratio": NASTY}),
        (Kling2, {"prompt": "x", "start_image": NASTY}),
        (Kling2, {"prompt": "x", "start_image": Path(NASTY.replace("\0", ""))}),
        (Kling2, {"prompt": [NASTY], "duration": {NASTY: 1}}),
        (Kling25Turbo, {"prompt": "x", "tail_image_url": URL, "image_url": URL, "mode": NASTY}),
    ],
)
def test_no_message_has_control_characters(model: type[Params], params: dict[str, Any]) -> None:
    message = str(invalid(model, **params))
    assert message.replace("\n  ", "").isprintable()
    assert message.encode()


def test_printable_text_is_not_escaped() -> None:
    assert escape("Füchse 狐 🦊") == "Füchse 狐 🦊"
    assert escape("a\x1b\ud800") == "a\\x1b\\ud800"


@pytest.mark.parametrize(
    "params",
    [
        {"prompt": "x", "aspect_ratio": "y" * 10**7},
        {"prompt": "x", "y" * 10**7: 1},
        {"prompt": b"y" * 10**7},
        {"prompt": "x", "start_image": "y" * 10**7},
        {"prompt": "x", **{f"duratio{number}": 1 for number in range(20_000)}},
    ],
    ids=["value", "name", "bytes", "media", "problems"],
)
def test_message_length_is_bounded(params: dict[str, Any]) -> None:
    begun = time.process_time()
    error = invalid(Kling2, **params)
    assert len(str(error)) < 20_000
    assert time.process_time() - begun < 20


def test_message_counts_hidden_problems() -> None:
    error = invalid(KlingO1, prompt="x", image_urls=[1] * 20_000)
    assert str(error).startswith("20000 problems with the parameters of kling-o1; nothing was sent:")
    assert str(error).endswith(f"\n  and 19950 more\n  {UNCHECKED_ADVICE}")
    assert len(error.problems) == 20_000


def test_long_value_of_a_rule_is_shortened() -> None:
    class Ruled(Params):
        adapter: ClassVar[Adapter] = Adapter(
            "ruled-1",
            "Ruled 1",
            "video",
            rules=(Requires("text", equals={"mode": "a"}), References("text", token="@{n}", list="items")),
        )
        text: str
        mode: str

    error = invalid(Ruled, text="@" + "1" * 10**6, mode="y" * 10**6)
    assert [problem.path for problem in error.problems] == ["text", "text"]
    assert len(str(error)) < 1000


def test_only_shown_problems_have_a_suggestion() -> None:
    error = invalid(Kling3ProImage2video, **{f"promt{number}": "x" for number in range(60)})
    suggestions = [problem.suggestion for problem in error.problems]
    # Two parameters are missing.
    assert suggestions == [None] * 2 + ["prompt"] * 48 + [None] * 12


def test_problem_takes_only_texts() -> None:
    for arguments in ((1, "wrong"), ("a", None), ("a", "wrong", 1, 5), ("a", "wrong", 1, "5", b"5")):
        with pytest.raises(TypeError, match="of a Problem is of type"):
            Problem(*arguments)


@pytest.mark.parametrize("arguments", [("kling-2", "wrong"), ("kling-2", [None]), (None, [])])
def test_params_invalid_takes_only_problems(arguments: Any) -> None:
    with pytest.raises(TypeError):
        ParamsInvalid(*arguments)


def test_text_naming_a_file_suggests_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fox.png").write_bytes(b"x")
    [problem] = invalid(Kling3ProImage2video, prompt="x", start_image_url="fox.png").problems
    assert str(problem).endswith("; did you mean Path('fox.png')?")
    # A command line suggests a form of its own.
    assert str(replace(problem, suggestion=f"@{problem.file}")).endswith("; did you mean @fox.png?")
    error = invalid(KlingO1, prompt="x", image_urls=["fox.png"] * 51)
    assert [problem.suggestion for problem in error.problems] == ["Path('fox.png')"] * 50 + [None]
    # Files elsewhere are not disclosed: the text may come from a stranger.
    for text in (
        str(tmp_path / "fox.png"),
        f"../{tmp_path.name}/fox.png",
        "wolf.png",
        "",
        "a\0b",
        "a" * 5000,
    ):
        [problem] = invalid(Kling3ProImage2video, prompt="x", start_image_url=text).problems
        assert problem.suggestion is None


class Typed(Params):
    adapter: ClassVar[Adapter] = Adapter("typed-1", "Typed 1", "video")
    count: Annotated[int, Field()] = 1
    weight: Annotated[float, Field()] = 1
    is_loud: Annotated[bool, Field()] = True
    names: Sequence[str] = ()
    seeds: Sequence[Seeded] = ()


@pytest.mark.parametrize(
    ("params", "options", "problem"),
    [
        ({"count": "x"}, {}, "count: 'x' is not an integer"),
        ({"count": 1.5}, {"strict": False}, "count: 1.5 is not an integer"),
        ({"weight": "x"}, {}, "weight: 'x' is not a finite number"),
        ({"weight": float("nan")}, {}, "weight: nan is not a finite number"),
        ({"is_loud": 1}, {}, "is_loud: 1 is not true or false"),
        ({"names": "x"}, {}, "names: 'x' is not a list"),
        ({"names": "x"}, {"strict": True}, "names: 'x' is not a list"),
        ({"seeds": [7]}, {}, "seeds[0]: 7 is not an object with parameters"),
        (7, {"from_attributes": True}, "parameters: 7 is not an object with parameters"),
    ],
)
def test_wrong_type_is_named(params: Any, options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ParamsInvalid) as caught:
        Typed.model_validate(params, **options)
    assert [str(problem) for problem in caught.value.problems] == [problem]


def test_json_that_is_no_list_is_named() -> None:
    with pytest.raises(ParamsInvalid) as caught:
        Typed.model_validate_json('{"names": 7}')
    assert [str(problem) for problem in caught.value.problems] == ["names: 7 is not a list"]


class Model(Params):
    adapter: ClassVar[Adapter] = Adapter("named-1", "Model 1", "video")
    abcde: str = ""
    no: str = ""
    nooo: str = ""
    seconds: str = ""
    size: Literal["8", "88", "1080p"] = "8"
    long_name: Annotated[str, Field(alias="n" * 100)] = ""


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("abcxy", "abcde"),
        ("abxyz", None),
        ("abcdx", "abcde"),
        ("n" * 99 + "m", "n" * 100),
        ("n" * 101, None),
        ("n", "no"),
        ("noo", "nooo"),
        ("sec", "seconds"),
        ("sesese", None),
        ("", None),
    ],
)
def test_similar_name_is_suggested(name: str, suggestion: str | None) -> None:
    [problem] = invalid(Model, **{name: 1}).problems
    assert (problem.path, problem.message, problem.suggestion) == (
        name or '""',
        "unknown parameter",
        suggestion,
    )


@pytest.mark.parametrize(
    ("value", "suggestion"), [("888", None), ("1080", "1080p"), ("88p", "88"), ("", None)]
)
def test_number_is_no_misspelling_of_another(value: str, suggestion: str | None) -> None:
    [problem] = invalid(Model, size=value).problems
    assert (problem.allowed, problem.suggestion) == ("'8', '88', '1080p'", suggestion)
