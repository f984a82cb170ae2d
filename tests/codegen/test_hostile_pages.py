"""`draft` on pages made to keep it busy: the work grows with the page, and no number on it is made into memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner
from kling_codegen.cli import main
from kling_codegen.draft.compose import draft_spec
from kling_codegen.draft.page import MAX_CHARACTERS, NotAPage
from ruamel.yaml import YAML

from tests.codegen.model_pages import CONDENSED, SPACED

DAY = date(2026, 1, 31)
# As many characters or lines as the hostile part has; twice as many for comparison.
SIZE = 12_000


def described(text: str) -> str:
    return CONDENSED.format(type="string", sent='"a"', text=text, values="")


def valued(values: str) -> str:
    return CONDENSED.format(type="integer", sent="5", text="Height.", values=values)


def oldest(text: str) -> str:
    return f"https://api.segmind.com/v1/brook\nAttributes\nlevelint *\n{text}\nTo keep track of your credit usage"


def before(line: str) -> str:
    return described("Kind.").replace("POST", f"{line}\nPOST", 1)


HOSTILE: dict[str, Callable[[int], str]] = {
    "digits and a sign": lambda n: valued("5" * n + "!"),
    "digits": lambda n: valued("5" * n),
    "nulls and a sign": lambda n: valued("null" * (n // 4) + "!"),
    "one long word": lambda n: described("a" * n),
    "words and digits": lambda n: described("a1" * (n // 2)),
    "requirements": lambda n: described("required" * (n // 8)),
    "quotation marks": lambda n: described('\\"' * (n // 2)),
    "an open quotation": lambda n: described('"' + '\\"' * (n // 2)),
    "quoted default": lambda n: SPACED.format(
        type="string", sent='"a"', text="Kind.", values='Default: "' + '\\"' * (n // 2)
    ),
    "starts of an example": lambda n: before("payload = {\n" * (n // 12)),
    "ends of an example": lambda n: before("payload = {\n" + "}\n" * (n // 2)),
    "both": lambda n: before("payload = {\n}!\n" * (n // 15)),
    "open brackets": lambda n: before("payload = {" + "[" * n + "}"),
    "price and spaces": lambda n: before("$1" + " " * n + "x"),
    "addresses": lambda n: before("/v1/" * (n // 4) + " x"),
    "limits": lambda n: described("max " * (n // 4)),
    "limit with digits": lambda n: described("max " + "1" * n + ",1"),
    "numbers": lambda n: described("1" * n + "a"),
    "names of items": lambda n: described(
        "".join(f"@{chr(97 + i // 26 % 26)}{chr(97 + i % 26)}1 " for i in range(n // 5))
    ),
    "commas": lambda n: described("either " + "level, " * (n // 7)),
    "conditions": lambda n: described("Requires level. " * (n // 16)),
    "only": lambda n: described("only " * (n // 5)),
    "white space": lambda n: described("a." + " " * n + "b"),
    "oldest layout that ends before its heads": lambda n: oldest("xstr *\n" * (n // 7)).replace(
        "levelint", "Returns: Video\nlevelint"
    ),
    "heads of the oldest layout": lambda n: oldest("xstr ( default: 1 )\n" * (n // 20)),
    "almost heads of it": lambda n: oldest("x" * n + "str ( default: "),
    "names that could be types": lambda n: oldest("strint" * (n // 6) + " *\nxstr *"),
    "defaults of it": lambda n: oldest("xstr ( default: " + "(" * n + " )\nxstr *"),
    "limits of it": lambda n: oldest("xint *\n" + "min : 1,\n" * (n // 9)),
    "data in JavaScript": lambda n: before("const data = {" * (n // 14)),
    "open data in JavaScript": lambda n: before("const data = {" + '"a":[' * (n // 5)),
    "members in a sentence": lambda n: described("List of " + "'a' (str) " * (n // 10)),
    "labels": lambda n: CONDENSED.format(type="string", sent='"a"', text="Kind.", values='a"b"' * (n // 4)),
    "objects in no order": lambda n: described("\nzoptionalobject[]\naoptionalstring" * (n // 32)),
    "lines": lambda n: described("a\n" * (n // 2)),
    "parameters": lambda n: described("\nxoptionalstring" * (n // 16)),
}


def cost(page: str) -> float:
    """Return the least processor time of several runs, which does not count the work of other processes."""
    spent: list[float] = []
    for _ in range(5):
        start = time.process_time()
        with suppress(NotAPage):
            draft_spec(page, "PAGE.txt", DAY)
        spent.append(time.process_time() - start)
        if spent[-1] > 2:
            break
    return min(spent)


@pytest.mark.parametrize("name", HOSTILE)
def test_work_grows_no_faster_than_the_page(name: str) -> None:
    make = HOSTILE[name]
    small = cost(make(SIZE // 8))
    large = cost(make(SIZE))
    # Eight times the page: 64 times the work if it were quadratic. What any page costs is not counted as growth.
    assert large < 20 * small + 0.05, f"{small:.4f} s, then {large:.4f} s"


@pytest.mark.parametrize("words", ["At least 999999 items.", "At least 999999999 items."])
def test_huge_lower_bound_makes_no_huge_example(words: str) -> None:
    text = CONDENSED.format(type="string[]", sent='["a"]', text=words, values="")
    draft = draft_spec(text.replace("leveloptional", "levelrequired"), "PAGE.txt", DAY)
    spec = YAML(typ="safe", pure=True).load(draft.yaml)
    assert spec["input"]["properties"]["level"]["minItems"] == int(words.split()[2])
    assert "examples" not in spec
    assert len(draft.yaml) < 2_000


def test_huge_shortest_text_makes_no_huge_example() -> None:
    text = SPACED.format(type="string", sent='"a"', text="At least 999999999 characters.", values="")
    draft = draft_spec(text.replace("leveloptional", "levelrequired"), "PAGE.txt", DAY)
    assert len(draft.yaml) < 20_000


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ("9" * 5000, "Height."),
        ("5\nAllowed values (" + "9" * 5000 + " total):", "Height."),
        ("5", f"Height of {'9' * 5000}."),
        ("5", f"At most {'9' * 5000}."),
    ],
)
def test_number_that_python_does_not_read_is_no_crash(values: str, text: str) -> None:
    page = CONDENSED.format(type="integer", sent="5", text=text, values=values)
    assert draft_spec(page, "PAGE.txt", DAY).yaml


def test_page_that_is_too_large_is_refused() -> None:
    with pytest.raises(NotAPage, match="at most 100000 are read"):
        draft_spec(described("a" * MAX_CHARACTERS), "PAGE.txt", DAY)
    with pytest.raises(NotAPage, match="it shows 202 parameters; at most 150 are read"):
        draft_spec(described("".join(f"\nx{i}optionalstring" for i in range(201))), "PAGE.txt", DAY)


def test_hidden_text_of_a_page_is_shown() -> None:
    text = SPACED.format(
        type="string", sent='"a"', text="Kind \x1b[31mred\u202e.", values='Default: "x\u202ey\x1b[2J"'
    )
    draft = draft_spec(text, "PAGE.txt", DAY)
    assert draft.yaml == "".join(c for c in draft.yaml if c.isprintable() or c == "\n")
    default = YAML(typ="safe", pure=True).load(draft.yaml)["input"]["properties"]["level"]["default"]
    assert default == "x\u202ey\x1b[2J"


def test_page_without_an_end_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "zero.txt"
    page.symlink_to("/dev/zero")
    outcome = CliRunner().invoke(main, ["draft", str(page)])
    assert outcome.exit_code == 2
    assert "this is not a model page" in outcome.output
