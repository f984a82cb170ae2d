"""The metadata of the distributions: complete, and one version for all."""

from __future__ import annotations

import re

import pytest
from packaging.requirements import Requirement
from trove_classifiers import classifiers as known_classifiers

from tests.release import licenses
from tests.release.distributions import ROOT, Distribution, read_distributions
from tests.release.version import compatible_range, own_requirements, requirement_files

DISTRIBUTIONS = read_distributions()
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
SUMMARY_LENGTH = 120


@pytest.fixture(params=DISTRIBUTIONS, ids=lambda distribution: distribution.name)
def distribution(request: pytest.FixtureRequest) -> Distribution:
    result: Distribution = request.param
    return result


def test_metadata_is_complete(distribution: Distribution) -> None:
    project = distribution.project
    assert project["readme"] == "README.md"
    assert project["license"] == "Apache-2.0"
    assert project["license-files"][0] == "LICENSE"
    assert project["requires-python"] == ">=3.11"
    assert project["description"].endswith(".")
    assert len(project["description"]) <= SUMMARY_LENGTH
    assert len(set(project["keywords"])) == len(project["keywords"]) >= 3
    assert distribution.package == distribution.name.replace("-", "_")


def test_classifiers_are_known_and_sorted(distribution: Distribution) -> None:
    classifiers = distribution.project["classifiers"]
    assert set(classifiers) <= known_classifiers
    assert "Typing :: Typed" in classifiers
    pythons = [name.rsplit(" ", 1)[1] for name in classifiers if re.search(r"Python :: 3\.\d", name)]
    assert pythons == PYTHONS


def test_license_is_the_same_text(distribution: Distribution) -> None:
    assert (ROOT / distribution.folder / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_readme_starts_with_the_name(distribution: Distribution) -> None:
    readme = (ROOT / distribution.folder / "README.md").read_text("utf-8")
    assert readme.startswith(f"# {distribution.name}\n")


def test_versions_are_equal() -> None:
    assert len({distribution.version for distribution in DISTRIBUTIONS}) == 1


def test_own_requirements_allow_the_minor_version() -> None:
    """In the manifests, in the templates of the compiler and in the documentation."""
    version = DISTRIBUTIONS[0].version
    names = {distribution.name for distribution in DISTRIBUTIONS}
    requirements = {
        (path, requirement)
        for path in requirement_files(ROOT)
        for requirement in own_requirements(path.read_text("utf-8"), names)
    }
    assert len(requirements) > len(DISTRIBUTIONS)
    assert {
        (name, requirement)
        for name, requirement in requirements
        if not requirement.endswith(compatible_range(version))
    } == set()


def test_plugins_require_the_core_and_the_core_offers_them() -> None:
    core, _, *plugins = DISTRIBUTIONS
    extras = core.project["optional-dependencies"]
    for plugin in plugins:
        assert plugin.project["dependencies"][0] == f"kling-adapters{compatible_range(core.version)}"
        assert extras[plugin.folder.name] == [f"{plugin.name}{compatible_range(core.version)}"]


@pytest.mark.parametrize(
    ("version", "allowed"), [("0.1.0", ">=0.1,<0.2"), ("0.12.3", ">=0.12,<0.13"), ("2.3.1", ">=2.3,<3")]
)
def test_range_follows_semantic_versions(version: str, allowed: str) -> None:
    assert compatible_range(version) == allowed
    assert Requirement(f"kling-adapters{allowed}").specifier.contains(version)


def test_licenses_of_dependencies_are_allowed() -> None:
    names = {distribution.name for distribution in DISTRIBUTIONS}
    assert licenses.license_problems(names) == []
