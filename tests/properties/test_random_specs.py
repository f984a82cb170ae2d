"""Whatever the spec language allows becomes an adapter that says and takes the same, and no damage is a crash."""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from kling_codegen.cli import main
from kling_codegen.diff.models import compare_specs
from kling_codegen.load.folder import load_specs
from kling_codegen.names import field_names

from benchmarks import strict
from kling_adapters import Params

from .changes import Change, changes
from .damage import damaged
from .edits import edits
from .generated import differences, properties_of_model, properties_of_spec
from .inputs import least
from .judging import StandardJudge, disagreements, send_as_json
from .prose_rules import LIMITS, plain_content, split_rule
from .specs import Spec, catalogs, documents, to_yaml

if TYPE_CHECKING:
    from click.testing import Result

GATEWAY = Path(__file__).parents[2] / "specs" / "gateway.yaml"
NUMBERS = count()
# Compiling takes a tenth of a second.
FEW = settings(max_examples=max(1, settings().max_examples // 12), suppress_health_check=list(HealthCheck))
MORE = settings(max_examples=max(1, settings().max_examples // 4), suppress_health_check=list(HealthCheck))
# What `submit` and `run` take themselves.
ARGUMENTS = {"extra", "save_to", "tag", "timeout", "unchecked"}


def run(*command: object) -> Result:
    """Run the compiler's command. An error that it does not tell in its own words is raised."""
    return CliRunner().invoke(main, list(map(str, command)), catch_exceptions=False)


def write(specs: list[Spec], folder: Path, quotes: str = '"', *, flow: bool = False) -> Path:
    folder.mkdir(parents=True)
    for spec in specs:
        text = to_yaml(spec, quotes, flow=flow)
        (folder / f"{spec['slug']}.yaml").write_text(text, encoding="utf-8", newline="\n")
    return folder


def generate(specs: Path, out: Path) -> dict[str, bytes]:
    """Compile specs, and return the files by path below the folder that holds both."""
    result = run("generate", "--specs", specs, "--out", out)
    assert result.exit_code == 0, result.output
    paths = (path for folder in (out, specs.parent / "docs") for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(specs.parent).as_posix(): path.read_bytes() for path in paths}


@contextmanager
def imported(out: Path) -> Iterator[dict[str, type[Params]]]:
    """Import the models of a package, each by its slug, under a name that no other has."""
    sys.path.insert(0, str(out.parent))
    importlib.invalidate_caches()
    try:
        package = importlib.import_module(out.name)
        # The index of the core's own models names `kling_adapters`.
        modules = (
            importlib.import_module(f"{out.name}.{entry.module.rpartition('.')[2]}")
            for entry in package.CATALOG
        )
        yield {
            entry.slug: getattr(module, entry.name)
            for entry, module in zip(package.CATALOG, modules, strict=True)
        }
    finally:
        sys.path.remove(str(out.parent))
        for name in [name for name in sys.modules if name.partition(".")[0] == out.name]:
            del sys.modules[name]


# Specs that failed once: characters that no docstring can hold, a name that Python normalises, a default of items; and
# an old name beside the present one, in a model that takes unknown names.
REGRESSION: Spec = {
    "slug": "found-1",
    "title": "Found \0 1",
    "summary": "\u202e.",
    "returns": "video",
    "latency_seconds": None,
    "source": {"page": "https://example.com/a.png", "document": "found.txt", "read": "2026-01-31"},
    "input": {
        "properties": {
            "\ufb01t": {"type": "string"},
            "views": {
                "type": "array",
                "items": {
                    "type": "array",
                    "maxItems": 0,
                    "default": [],
                    "items": {"type": "string", "minLength": 30},
                },
            },
            "steps": {"type": "integer", "minimum": 0.5, "maximum": 2},
        }
    },
    "examples": [{"name": "ligature", "input": {"\ufb01t": "x"}}],
}
PARTIAL: Spec = {
    "slug": "found-2",
    "title": "Found 2",
    "summary": "Has a renamed parameter.",
    "returns": "image",
    "latency_seconds": None,
    "source": {
        "page": "https://example.com/",
        "document": "found.txt",
        "read": "2026-01-31",
        "unseen": "the end",
    },
    "input": {"properties": {"text": {"type": "string", "renamed_from": ["prompt"]}}, "required": ["text"]},
}


@pytest.mark.filterwarnings("ignore::kling_adapters.DeprecatedParameter")
@FEW
@example(specs=[REGRESSION, PARTIAL], is_core=True)
@given(specs=catalogs(), is_core=st.booleans())
def test_adapter_agrees_with_spec(specs: list[Spec], *, is_core: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        out = folder / f"random_models_{next(NUMBERS)}"
        write(specs, folder / "specs")
        if is_core:
            shutil.copy(GATEWAY, folder / "specs")
        generate(folder / "specs", out)
        for command in (["format", "--check"], ["check", "--select=F"]):
            ruff = [
                sys.executable,
                "-m",
                "ruff",
                *command,
                "--isolated",
                "--no-cache",
                "--quiet",
                "--line-length=110",
            ]
            subprocess.run([*ruff, "--target-version=py311", out], check=True)
        with imported(out) as models:
            assert list(models) == sorted(spec["slug"] for spec in specs)
            for spec in specs:
                model = models[spec["slug"]]
                schema = json.loads((out / "schemas" / f"{spec['slug']}.json").read_text("utf-8"))
                assert_agreement(spec, model, schema)
                if is_core:
                    assert_typed_dict_complete(spec["input"], model, vars(sys.modules[model.__module__]))
                standard_judge = StandardJudge(schema)
                for body in [least({"type": "object", **schema}), *schema["examples"]]:
                    sent = [send_as_json(edit.of(body)) for edit in edits(schema, body)]
                    valid = [
                        plain for plain in sent if plain is not None and standard_judge.allows_fields(plain)
                    ]
                    assert [plain for plain in valid if not standard_judge.agrees(plain)] == []
                    drawn = list(disagreements(schema, model, body))
                    assert not [item for item in drawn if not is_named_otherwise(schema, item.body)]


def is_named_otherwise(schema: Any, body: Any) -> bool:
    """Whether something is given by its name in Python, by which it is then reported, and not by that in JSON."""
    if isinstance(body, list):
        return any(is_named_otherwise(schema.get("items", {}), item) for item in body)
    if not isinstance(body, dict):
        return False
    parts = schema.get("properties", {})
    called = {name for wire, name in field_names(parts).items() if name != wire}
    return any(
        name in called - parts.keys() or is_named_otherwise(parts.get(name, {}), part)
        for name, part in body.items()
    )


def assert_agreement(spec: Spec, model: type[Params], schema: dict[str, Any]) -> None:
    """Compare a spec with its generated class, adapter and packaged schema."""
    adapter = model.adapter
    described = (adapter.slug, adapter.title, adapter.returns, adapter.latency, adapter.unseen)
    unseen = spec["source"].get("unseen")
    assert described == (spec["slug"], spec["title"], spec["returns"], spec["latency_seconds"], unseen)
    assert schema["additionalProperties"] is (unseen is not None)
    assert (adapter.retired and asdict(adapter.retired)) == (
        {"use": None, **spec["retired"]} if "retired" in spec else None
    )
    assert schema["x-kling"].get("retired") == spec.get("retired")
    assert list(map(rule_of, adapter.rules)) == [plain_rule(rule) for rule in spec.get("rules", [])]
    assert differences(properties_of_model(model), properties_of_spec(spec["input"])) == []
    assert plain(schema["properties"]) == spec["input"]["properties"]
    assert schema["required"] == spec["input"].get("required", [])
    assert schema["examples"] == [item["input"] for item in spec.get("examples", [])]
    assert [model.model_validate(item).wire() for item in schema["examples"]] == schema["examples"]
    extension = schema["x-kling"]
    for key in ("slug", "returns", "latency_seconds"):
        assert extension[key] == spec[key]
    assert [without_text(rule) for rule in extension["rules"]] == spec.get("rules", [])
    assert extension["discrepancies"] == spec.get("discrepancies", [])
    assert extension.get("pricing") == spec.get("pricing")
    assert extension["source"] == {**spec["source"], "read": str(spec["source"]["read"])}


def rule_of(rule: Any) -> tuple[str, dict[str, Any]]:
    return type(rule).__name__, {key: listed(value) for key, value in asdict(rule).items()}


def listed(value: Any) -> Any:
    """Return a value with lists for tuples."""
    if isinstance(value, dict):
        return {key: listed(part) for key, part in value.items()}
    return list(map(listed, value)) if isinstance(value, list | tuple) else value


def without_text(rule: dict[str, Any]) -> dict[str, Any]:
    """Return a packaged rule as the spec has it."""
    assert rule["text"].endswith(".")
    return dict([split_rule(rule)])


def plain_rule(rule: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return a rule of a spec in the form of `rule_of`."""
    kind, content = plain_content(rule)
    if isinstance(content, list):
        content = {"names": content}
    if kind == "requires":
        content = {"present": [], "equals": {}, **content}
    if kind == "sum":
        content = {"equals": None, "minimum": None, "maximum": None, **content}
    if kind == "when":
        lists, limits = ("present", "required", "forbidden"), ("allowed", *LIMITS)
        content = {**{key: [] for key in lists}, "equals": {}, **{key: {} for key in limits}, **content}
    return "".join(word.capitalize() for word in kind.split("_")), content


def plain(value: Any) -> Any:
    """Return a packaged schema in the form of a spec, without implied keywords."""
    if isinstance(value, list):
        return list(map(plain, value))
    if not isinstance(value, dict):
        return value
    implied = (
        {"pattern"}
        if value.get("format") == "uri"
        else {"additionalProperties"}
        if "object" in value.get("type", ())
        else set()
    )
    extension = value.get("x-kling", {}) if "type" in value else {}
    if extension:
        implied |= {"deprecated"}
    if isinstance(kinds := value.get("type"), list) and kinds[1:] and kinds[-1] == "array":
        list_keys = ("items", "minItems", "maxItems")
        form = {"type": "array", **{key: value[key] for key in list_keys if key in value}}
        outer = {key: part for key, part in value.items() if key not in list_keys}
        value = {**outer, "type": kinds[:-1] if kinds[2:] else kinds[0], "or": form}
    return {key: plain(part) for key, part in value.items() if key not in implied | {"x-kling"}} | extension


def assert_typed_dict_complete(schema: dict[str, Any], model: type[Params], module: dict[str, Any]) -> None:
    """Compare the TypedDict of a model's call with the spec; those of its parts are type-checked elsewhere."""
    renamed = {
        name: part["renamed_from"] for name, part in schema["properties"].items() if "renamed_from" in part
    }
    keys = {*schema["properties"], *(old for names in renamed.values() for old in names)} - ARGUMENTS
    required = keys & {*schema.get("required", ())} - renamed.keys()
    typed = module[f"{model.__name__}Input"]
    assert (typed.__required_keys__, typed.__optional_keys__) == (required, keys - required)


@FEW
@given(catalogs(), st.sampled_from("'|>"), st.booleans())
def test_output_depends_only_on_spec_content(specs: list[Spec], quotes: str, flow: bool) -> None:
    outputs: list[dict[str, bytes]] = []
    for order, style in ((specs, '"'), (specs[::-1], quotes)):
        with tempfile.TemporaryDirectory() as name:
            written = write(order, Path(name) / "specs", style, flow=flow)
            outputs.append(generate(written, Path(name) / "random_models"))
    assert outputs[0] == outputs[1]


@FEW
@given(changes())
def test_diff_reports_exactly_the_change(drawn: list[Change]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        old = load_specs(write([drawn[0].old], folder / "old"))
        assert compare_specs(old, load_specs(write([drawn[0].old], folder / "again", "|", flow=True))) == []
        for number, change in enumerate(drawn):
            new = load_specs(write([change.new], folder / str(number)))
            assert [(item.level, item.path, item.aspect) for item in compare_specs(old, new)] == [
                change.report
            ]


@MORE
@given(documents())
def test_lint_findings_have_places(spec: Spec) -> None:
    with tempfile.TemporaryDirectory() as name:
        specs = write([spec], Path(name) / "specs")
        result = run("lint", "--specs", specs, "--format", "json")
        drawn = located(result, specs / f"{spec['slug']}.yaml")
        assert result.exit_code == any(item["level"] != "note" for item in drawn)


@FEW
@given(damaged())
def test_refused_spec_has_places(damage: tuple[str, list[str]]) -> None:
    slug, texts = damage
    for text in texts:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "specs").mkdir()
            path = folder / "specs" / f"{slug}.yaml"
            path.write_text(text, encoding="utf-8", newline="\n")
            out = folder / f"random_models_{next(NUMBERS)}"
            result = run("generate", "--specs", folder / "specs", "--out", out, "--format", "json")
            errors = [problem for problem in located(result, path) if problem["level"] == "error"]
            assert result.exit_code == (2 if errors else 0)
            if not errors:
                with imported(out) as models:
                    assert list(models) == [slug]


def located(result: Result, path: Path) -> list[dict[str, Any]]:
    """Return the problems in the output of a command; each has a place in the file."""
    problems: list[dict[str, Any]] = json.loads(result.stdout)["problems"]
    rows = path.read_text("utf-8").split("\n")
    for problem in problems:
        assert (problem["file"], bool(problem["text"])) == (str(path), True)
        assert 1 <= problem["line"] <= len(rows) + 1
        row = rows[problem["line"] - 1] if problem["line"] <= len(rows) else ""
        assert 1 <= problem["column"] <= len(row) + 1
    return problems


@pytest.mark.skipif(settings.get_current_profile_name() != "fuzz", reason="`make fuzz` has the time")
def test_generated_code_passes_type_checkers(tmp_path: Path) -> None:
    drawn: dict[str, Spec] = {}

    @settings(
        max_examples=150, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @given(documents())
    def draw(spec: Spec) -> None:
        drawn[re.sub("[.-]", "", spec["slug"])] = spec

    draw()
    write(list(drawn.values()), tmp_path / "specs")
    strict.project(tmp_path)
    assert strict.judged(tmp_path)
