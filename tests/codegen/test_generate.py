"""What is generated, used the way an application uses it."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema_rs
import pytest

if TYPE_CHECKING:
    from tests.codegen.conftest import Project

ODD = """
    prompt: {type: string, maxLength: 5, description: "Text with \\"quotes\\" and a \\\\."}
    class: {type: string}
    class_: {type: string}
    json: {type: string}
    wire: {type: integer, minimum: 1, maximum: 18446744073709551615}
    Literal: {type: integer}
    str: {type: string}
    1k-size: {type: boolean}
    _x: {type: string}
    timeout: {type: integer}
    five: {type: integer, enum: [5, 10], default: 5}
    digits: {type: string, enum: ["3", "15"]}
    mixed: {type: string, enum: [auto, "5"]}
    padded: {type: string, enum: ["05", "5"]}
    maybe: {type: [integer, "null"], enum: [5, 10, null], default: null}
    several: {type: array, items: {type: integer, enum: [1, 2]}}
    image: {type: [string, "null"], format: uri}
    images: {type: array, maxItems: 2, items: {type: string, format: uri}}
    words: {type: array, items: {type: string, maxLength: 3}, default: [a]}
    grid: {type: array, items: {type: array, items: {type: [integer, "null"], minimum: 1}}}
    adapters:
      type: array
      description: Some adapters.
      items:
        type: object
        required: [class]
        properties:
          class: {type: string}
          inner: {type: object, properties: {"on": {type: boolean}}}
    part: {type: [object, "null"], properties: {inner: {type: object, properties: {"off": {type: boolean}}}}}
    long:
      type: string
      default: "a default of many words that does not fit on a line because it goes on, and on, and then on again"
      description: >-
        A description of so many words that it cannot stand on one line of a hundred and ten columns, whatever
        the name of the parameter.
"""


def module(project: Project, name: str = "odd_1") -> str:
    return (project.models / f"{name}.py").read_text(encoding="utf-8")


@pytest.fixture
def odd(project: Project) -> Project:
    project.spec(
        "odd-1",
        ODD,
        required="prompt, class",
        rest="""\
            rules:
              - requires: {field: image, present: [images], equals: {five: 5}}
              - references: {field: prompt, token: "@I{n}", list: images}
              - max_bytes: {field: image, bytes: 10}
        """,
    )
    project.generate()
    return project


def test_models_take_the_names_of_the_spec_and_send_them(odd: Project) -> None:
    sent = odd.use("""
        from kling_adapters.models import Odd1
        given = {
            "prompt": "x", "class": "y", "json": "z", "wire": 18446744073709551615, "Literal": 3, "str": "s",
            "1k-size": True, "_x": "u", "timeout": 9, "five": "10", "digits": 15, "maybe": "5", "several": ["1", 2],
            "image": None, "words": ["abc"], "grid": [[1, None]],
            "adapters": [{"class": "a", "inner": {"on": True}}], "part": {"inner": {"off": False}},
        }
        import json
        print(json.dumps(Odd1(**given).wire()))
    """)
    assert json.loads(sent) == {
        "prompt": "x",
        "class": "y",
        "json": "z",
        "wire": 18446744073709551615,
        "Literal": 3,
        "str": "s",
        "1k-size": True,
        "_x": "u",
        "timeout": 9,
        "five": 10,
        "digits": "15",
        "maybe": 5,
        "several": [1, 2],
        "image": None,
        "words": ["abc"],
        "grid": [[1, None]],
        "adapters": [{"class": "a", "inner": {"on": True}}],
        "part": {"inner": {"off": False}},
    }


def test_renamed_parameters_can_be_given_by_their_python_names(odd: Project) -> None:
    sent = odd.use("""
        from kling_adapters.models.odd_1 import AdapterModel, Odd1
        odd = Odd1(prompt="x", class__="y", json_="z", wire_=1, adapters=[AdapterModel(class_="a")])
        print(odd.wire())
    """)
    assert ast.literal_eval(sent) == {
        "prompt": "x",
        "class": "y",
        "json": "z",
        "wire": 1,
        "adapters": [{"class": "a"}],
    }


REFUSED = [
    ({"prompt": "longer"}, "prompt"),
    ({"five": 7}, "five"),
    ({"mixed": 5}, "mixed"),
    ({"padded": 5}, "padded"),
    ({"class_": None}, "class_"),
    ({"image": "ftp://example.com/x"}, "image"),
    ({"images": ["https://e.com/1", "https://e.com/2", "https://e.com/3"]}, "images"),
    ({"words": ["abcd"]}, "words[0]"),
    ({"grid": [[0]]}, "grid[0][0]"),
    ({"adapters": [{}]}, "adapters[0].class"),
    ({"adapters": [{"class": "a", "x": 1}]}, "adapters[0].x"),
    ({"prompt": "@I1"}, "prompt"),
    ({"image": "https://e.com/x", "five": 10}, "image"),
]


def test_models_refuse_values_outside_the_spec(odd: Project) -> None:
    paths = odd.use(f"""
        from kling_adapters.errors import ParamsInvalid
        from kling_adapters.models import Odd1
        for values in {[values for values, _ in REFUSED]!r}:
            try:
                Odd1(**{{"prompt": "x", "class": "y"}} | values)
            except ParamsInvalid as error:
                print(error.problems[0].path)
            else:
                print("accepted", values)
    """)
    assert paths.splitlines() == [path for _, path in REFUSED]


def test_module_reads_as_if_written_by_hand(project: Project) -> None:
    project.spec(
        "kling-9.5",
        """
        prompt: {type: string, description: What the video should show.}
        duration: {type: integer, enum: [5, 10], default: 10, description: Length in seconds.}
        cfg_scale: {type: number, minimum: 0, maximum: 1, default: 0.5}
        image_url: {type: [string, "null"], format: uri, default: null, description: URL of the first frame.}
        shots:
          type: array
          maxItems: 5
          items: {type: object, required: [prompt], properties: {prompt: {type: string}}}
        """,
        required="prompt",
        rest="rules: [{requires: {field: image_url, present: [shots]}}]",
    )
    project.generate()
    assert module(project, "kling_9_5") == (Path(__file__).parent / "kling_9_5.txt").read_text(
        encoding="utf-8"
    )


def test_generated_code_passes_ruff_and_has_no_long_line(odd: Project) -> None:
    ruff = [sys.executable, "-m", "ruff"]
    options = ["--isolated", "--no-cache", "--target-version=py311", "--line-length=110"]
    rules = "--select=E,F,I,B,UP,RUF,PYI,SIM,N8"
    first_party = "--config=lint.isort.known-first-party=['kling_adapters']"
    subprocess.run([*ruff, "check", *options, rules, first_party, str(odd.models)], check=True)
    subprocess.run([*ruff, "format", "--check", *options, str(odd.models)], check=True)


def test_lenient_is_only_around_integers_and_digit_strings(odd: Project) -> None:
    text = module(odd)
    assert text.count("IntOrStr[") == 4
    assert "five: IntOrStr[Literal[5, 10]] = 5" in text
    assert 'digits: IntOrStr[Literal["3", "15"]] | MISSING = MISSING' in text
    assert "maybe: IntOrStr[Literal[5, 10]] | None = None" in text
    assert "several: Sequence[IntOrStr[Literal[1, 2]]] | MISSING = MISSING" in text


def test_same_bytes_whatever_surrounds_the_run(odd: Project, tmp_path: Path) -> None:
    expected = odd.tree()
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    # A configuration in the way must not change anything.
    (elsewhere / "pyproject.toml").write_text("[tool.ruff]\nline-length = 40\nindent-width = 2\n")
    (elsewhere / "ruff.toml").write_text("line-length = 50\n[format]\nquote-style = 'single'\n")
    command = [sys.executable, "-m", "kling_codegen.cli", "generate", "--specs", str(odd.specs)]
    runs: list[subprocess.Popen[bytes]] = []
    for number, (seed, zone, locale) in enumerate([("1", "Asia/Tokyo", "C"), ("77", "UTC", "tr_TR.UTF-8")]):
        environment = os.environ | {
            "PYTHONHASHSEED": seed,
            "TZ": zone,
            "LC_ALL": locale,
            "TMPDIR": str(elsewhere),
        }
        out = elsewhere / str(number) / "models"
        runs.append(subprocess.Popen([*command, "--out", str(out)], cwd=elsewhere, env=environment))
    assert [run.wait() for run in runs] == [0, 0]
    for number in range(2):
        folder = elsewhere / str(number) / "models"
        paths = [path for path in folder.rglob("*") if path.is_file()]
        assert {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths} == expected


def test_json_schema_agrees_with_the_spec(project: Project) -> None:
    project.spec(
        "odd-1",
        """
        prompt: {type: string, description: Ä text.}
        part:
          type: object
          required: [image]
          properties: {image: {type: [string, "null"], format: uri}}
        """,
        required="prompt",
        rest="""\
            rules:
              - requires: {field: part, present: [prompt]}
            discrepancies:
              - {about: prompt, page: it says this and that, decision: this}
            examples:
              - {name: one, input: {prompt: x}}
        """,
    )
    project.generate()
    path = project.models / "schemas" / "odd-1.json"
    schema = json.loads(path.read_text(encoding="utf-8"))
    assert list(schema) == [
        "$schema",
        "title",
        "description",
        "type",
        "additionalProperties",
        "required",
        "properties",
        "examples",
        "x-kling",
    ]
    assert schema["properties"] == {
        "prompt": {"type": "string", "description": "Ä text."},
        "part": {
            "type": "object",
            "required": ["image"],
            "properties": {
                "image": {
                    "type": ["string", "null"],
                    "format": "uri",
                    "pattern": r"^https?://[^\s\x00-\x1f\x85\ufeff/?#][^\s\x00-\x1f\x85\ufeff]*$",
                }
            },
            "additionalProperties": False,
        },
    }
    assert schema["examples"] == [{"prompt": "x"}]
    assert schema["x-kling"] == {
        "slug": "odd-1",
        "returns": "video",
        "latency_seconds": 60,
        "rules": [
            {
                "requires": {"field": "part", "present": ["prompt"]},
                "text": "part needs prompt to be set.",
            }
        ],
        "discrepancies": [{"about": "prompt", "page": "it says this and that", "decision": "this"}],
        "source": {"page": "https://example.com/demo", "document": "demo.txt", "read": "2026-01-31"},
    }
    validator = jsonschema_rs.validator_for(schema)
    assert validator.is_valid({"prompt": "x", "part": {"image": "https://example.com"}})
    assert not validator.is_valid({"prompt": "x", "part": {"image": ""}})
    assert not validator.is_valid({"prompt": "x", "part": {"image": None, "y": 1}})


def test_index_imports_a_model_only_when_it_is_used(project: Project) -> None:
    for slug in ("kling-2", "kling-10", "other"):
        project.spec(slug, "prompt: {type: string}")
    project.generate()
    printed = project.use("""
        import sys
        from kling_adapters import models
        import kling_adapters.client._calls, kling_adapters.models._gateway
        print([entry.slug for entry in models.CATALOG], sorted(models.__all__))
        loaded = lambda: [name for name in ("kling_2", "kling_10", "other") if "kling_adapters.models." + name in sys.modules]
        print(loaded(), models.Kling10.__name__, loaded())
    """)
    assert printed.splitlines() == [
        "['kling-10', 'kling-2', 'other'] ['CATALOG', 'Kling10', 'Kling2', 'Other']",
        "[] Kling10 ['kling_10']",
    ]


def test_gateway_becomes_constants(project: Project) -> None:
    project.spec("kling-2", "prompt: {type: string}")
    project.generate()
    printed = project.use("""
        from kling_adapters.models import _gateway as g
        print(g.BASE_URL, g.SUBMIT_PATH, g.RECORD_LIFETIME, sorted(g.STATES), g.STATUSES[504].submit)
    """)
    assert printed == (
        "https://api.segmind.com /v2/{slug} 3600 ['COMPLETED', 'FAILED', 'PROCESSING', 'QUEUED'] uncertain"
    )


def test_generate_lists_changes_and_removes_stale_files(project: Project) -> None:
    project.spec("kling-2", "prompt: {type: string}")
    old = project.spec("old-1", "prompt: {type: string}")
    assert project.generate().splitlines()[-1] == "wrote 13, removed 0, unchanged 0"
    old.unlink()
    assert project.generate().splitlines() == [
        "wrote kling_adapters/models/__init__.py",
        "wrote kling_adapters/client/_calls.pyi",
        "removed docs/models/old-1.md",
        "removed kling_adapters/models/old_1.py",
        "removed kling_adapters/models/schemas/old-1.json",
        "wrote 2, removed 3, unchanged 8",
    ]
    assert project.generate() == "wrote 0, removed 0, unchanged 10\n"


def test_generate_does_not_touch_a_folder_of_somebody_else(project: Project) -> None:
    project.spec("kling-2", "prompt: {type: string}")
    project.models.mkdir()
    (project.models / "letters.txt").write_text("dear reader")
    result = project.run("generate")
    assert result.exit_code == 2
    assert "kling_adapters/models/letters.txt was not written by kling-codegen" in result.stderr
    assert project.tree() == {"letters.txt": b"dear reader"}


CALLS = """
from kling_adapters.client._calls import AsyncCalls, SyncCalls
from kling_adapters.models import Odd1
from kling_adapters.models.plain import PartModel

async def calls(kling: SyncCalls, later: AsyncCalls) -> None:
    kling.submit("plain", prompt="x", five=10, parts=[{"name": "a"}, PartModel(name="b")])
    kling.submit(Odd1(prompt="x", class__="y", five=5))
    kling.run("plain", prompt="x", save_to="out", timeout=3, extra={"new": 1})
    await later.submit("plain", prompt="x")
    kling.submit("plain", prompt="x", five=7)  # wrong
    kling.submit("plain", promt="x")  # wrong
    kling.submit("plane", prompt="x")  # wrong
    kling.run("plain", prompt=1)  # wrong
    kling.submit("plain", prompt="x", parts=[{"nome": "a"}])  # wrong
    await later.run("plain", prompt="x", five=7)  # wrong
    Odd1(prompt="x", class__="y", five=7)  # wrong
"""


def test_type_checkers_see_exactly_the_wrong_calls(odd: Project) -> None:
    odd.spec(
        "plain",
        """
        prompt: {type: string}
        five: {type: integer, enum: [5, 10]}
        parts: {type: array, items: {type: object, properties: {name: {type: string}}}}
        """,
        required="prompt",
    )
    odd.generate()
    file = odd.folder / "calls.py"
    file.write_text(CALLS, encoding="utf-8")
    wrong = {number for number, line in enumerate(CALLS.splitlines(), 1) if line.endswith("# wrong")}
    (odd.folder / "pyrightconfig.json").write_text(
        json.dumps(
            {
                "typeCheckingMode": "strict",
                "enableExperimentalFeatures": True,
                "include": ["calls.py", "kling_adapters/models"],
            }
        )
    )
    mypy = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--follow-imports=silent",
        "--cache-dir=.mypy_cache",
        "--hide-error-context",
    ]
    pyright = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]
    models = ["kling_adapters/models"]
    environment = os.environ | {"MYPYPATH": str(odd.folder)}
    single = subprocess.Popen(
        [*mypy, "calls.py", *models], cwd=odd.folder, env=environment, stdout=subprocess.PIPE, text=True
    )
    two = subprocess.Popen(pyright, cwd=odd.folder, stdout=subprocess.PIPE, text=True)
    matches = [line.split(":") for line in single.communicate()[0].splitlines() if ": error:" in line]
    assert {(name, int(number)) for name, number, *_ in matches} == {("calls.py", number) for number in wrong}
    reports = json.loads(two.communicate()[0])["generalDiagnostics"]
    places = {(Path(report["file"]).name, report["range"]["start"]["line"] + 1) for report in reports}
    assert places == {("calls.py", number) for number in wrong}


def test_parameter_can_be_called_like_the_class_of_its_value(project: Project) -> None:
    project.spec(
        "kling-2",
        """
        Prompt: {type: object, properties: {PROMPT: {type: object, properties: {a: {type: string}}}}}
        Input: {type: object, properties: {a: {type: string}}}
        """,
    )
    project.generate()
    printed = project.use(
        """
        from kling_adapters.models import Kling2
        print(Kling2(Prompt={"PROMPT": {"a": "x"}}, Input={"a": "y"}).wire())
        """
    )
    assert printed == "{'Prompt': {'PROMPT': {'a': 'x'}}, 'Input': {'a': 'y'}}"


def test_class_of_a_name_without_upper_case_has_a_prefix(project: Project) -> None:
    project.spec("kling-2", "画像: {type: object, properties: {a: {type: string}}}")
    project.generate()
    assert "\nclass Model画像(Part):" in (project.models / "kling_2.py").read_text("utf-8")


def test_unfinished_spec_is_compiled_with_a_warning(project: Project) -> None:
    path = project.spec(
        "kling-2", "prompt: {type: string, description: TODO}\nseed: {type: integer, description: TBD}"
    )
    warning = (
        "specs/kling-2.yaml:10:41: warning: TODO stands for something that is not written yet; 2 in this spec, which "
        "`kling-codegen lint` lists, at input.properties.prompt.description [placeholder]"
    )
    # The second time, from the cache.
    for _ in range(2):
        result = project.run("generate")
        assert (result.exit_code, result.stderr.splitlines()) == (0, [warning])
        printed = json.loads(project.run("generate", "--format", "json").stdout)
        assert [problem["rule"] for problem in printed["problems"]] == ["placeholder"]
    path.write_text(
        path.read_text("utf-8").replace("TODO", "What to show.").replace("TBD", "Its seed."), "utf-8"
    )
    assert project.run("generate").stderr == ""
