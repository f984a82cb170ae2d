"""The generated trees, compared with those in tests/golden; `make golden` writes them anew."""

from __future__ import annotations

import re
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from kling_codegen.cli import main
from kling_codegen.closed import Closed
from kling_codegen.keywords import KINDS as TYPES
from kling_codegen.rules.condition import Condition
from kling_codegen.rules.consequences import Then
from kling_codegen.rules.rule import KINDS
from ruamel.yaml import YAML

GOLDEN = Path(__file__).parents[1] / "golden"
LIFE = sorted(path.name for path in (GOLDEN / "life").iterdir() if path.is_dir())
PACKAGES = {"core": "models", "acme": "acme_kling/models"}
PACKAGES |= {f"life/{state}": "studio/models" for state in LIFE}


def tree(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


@pytest.mark.parametrize("name", PACKAGES)
def test_tree_equals_golden_tree(name: str, tmp_path: Path) -> None:
    shutil.copytree(GOLDEN / name / "specs", tmp_path / "specs", ignore=shutil.ignore_patterns("schema"))
    out = tmp_path / PACKAGES[name]
    if name == "core":
        readme = (GOLDEN / name / "README.md").read_text("utf-8")
        emptied = re.sub("(?<=<!-- models -->\n).*(?=<!-- /models)", "", readme, flags=re.DOTALL)
        (tmp_path / "README.md").write_text(emptied, "utf-8")
    else:
        out.mkdir(parents=True)
        (out.parent / "__init__.py").touch()
    result = CliRunner().invoke(main, ["generate", "--specs", str(tmp_path / "specs"), "--out", str(out)])
    assert result.exit_code == 0, result.output
    if name.startswith("life/"):
        # The same as that of core; not stored for each state.
        shutil.rmtree(tmp_path / "specs" / "schema")
    assert tree(tmp_path) == tree(GOLDEN / name)


@pytest.mark.parametrize(("before", "after"), list(pairwise(LIFE)))
def test_diff_of_states_equals_golden_diff(before: str, after: str) -> None:
    folders = [str(GOLDEN / "life" / state / "specs") for state in (before, after)]
    result = CliRunner().invoke(main, ["diff", *folders])
    assert result.stdout == (GOLDEN / "life" / f"{after}.diff.txt").read_text("utf-8")


def keys(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*map(keys, value.values()))
    return set[str]().union(*map(keys, value)) if isinstance(value, list) else set()


def test_golden_specs_use_every_keyword() -> None:
    yaml = YAML(typ="safe", pure=True)
    specs = [yaml.load(path.read_text("utf-8")) for path in GOLDEN.glob("core/specs/*.yaml")]
    # Every kind of rule has a test of its own, in test_rules.py.
    parts = [part for part in Closed.__subclasses__() if not issubclass(part, Condition)]
    keywords = {field.alias or name for part in parts for name, field in part.model_fields.items()}
    assert keywords - keys(specs) == set()
    kinds = {kind if isinstance(kind, str) else kind[0] for kind in re.findall(r"type: \[?(\w+)", "".join(
        path.read_text("utf-8") for path in GOLDEN.glob("core/specs/*.yaml")
    ))}  # fmt: skip
    assert kinds == set(TYPES)


def test_golden_spec_uses_every_kind_of_rule() -> None:
    spec = YAML(typ="safe", pure=True).load((GOLDEN / "core/specs/every-rule.yaml").read_text("utf-8"))
    assert {key for rule in spec["rules"] for key in rule} == set(KINDS)
    conditions = [rule["when"] for rule in spec["rules"] if "when" in rule]
    assert {key for condition in conditions for key in condition["then"]} == set(Then.model_fields)
