"""`make docs`: no warning, nothing from other hosts, a Markdown twin of each page, and llms.txt."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

from docs.builder.navigation import INDEX, ROOT, read_parts
from tests.docs.blocks import list_pages

builder = pytest.importorskip("docs.builder.site", reason="Sphinx is not installed: it is in the dev group")

# Pages that are not for readers of the documentation.
LEFT_OUT = {"README.md", ".github/PULL_REQUEST_TEMPLATE.md"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("site"))


def build(folder: Path, umask: int = -1, **environment: str) -> Path:
    # Sphinx changes its process, so it has one of its own, as in `make docs`.
    command = [sys.executable, "-m", "docs.builder", str(folder)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | environment,
        umask=umask,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_site_is_the_same_in_another_folder_zone_and_locale(site: Path, tmp_path: Path) -> None:
    second_site = build(tmp_path / "second", 0o077, TZ="Asia/Tokyo", LC_ALL="C", PYTHONHASHSEED="7")
    files, second_files = read_files(site), read_files(second_site)
    assert [path for path in files if second_files.get(path) != files[path]] == []
    assert second_files.keys() == files.keys()


def read_files(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_no_page_loads_anything_from_other_hosts(site: Path) -> None:
    loads = re.compile(
        r"<(?:script|img|iframe|source|video|audio)[^>]+src=[\"'](?:https?:)?//|<link[^>]+href=[\"'](?:https?:)?//"
    )
    styles = re.compile(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//")
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 60
    assert [path for path in pages if loads.search(path.read_text("utf-8"))] == []
    assert [path for path in site.rglob("*.css") if styles.search(path.read_text("utf-8"))] == []


def test_each_page_has_a_twin_whose_links_hold(site: Path) -> None:
    pages = set(site.rglob("*.html")) - {site / f"{name}.html" for name in ("index", "search", "genindex")}
    for page in pages:
        # Names of models have dots.
        text = page.with_name(f"{page.name.removesuffix('.html')}.md").read_text("utf-8")
        assert "{toctree}" not in text
        prose = re.sub(r"^```.*?^```|`[^`\n]*`", "", text, flags=re.MULTILINE | re.DOTALL)
        for target in re.findall(r"\]\((?!\w+:|#)([^)#\s]+)", prose):
            assert (page.parent / unquote(target)).exists(), f"{page.relative_to(site)}: {target}"


def test_llms_txt_links_every_page(site: Path) -> None:
    text = (site / "llms.txt").read_text("utf-8")
    assert text.startswith("# kling-adapters\n\n> ")
    links = re.findall(r"^- \[.+?\]\((\S+)\): .+$", text, re.MULTILINE)
    assert set(links) == {
        path.relative_to(site).as_posix()
        for path in site.rglob("*.md")
        if path.with_name(f"{path.name.removesuffix('.md')}.html").exists() and path != site / INDEX
    }


def test_navigation_has_every_page_of_the_repository() -> None:
    parts = read_parts((ROOT / INDEX).read_text("utf-8"))
    assert [part.title for part in parts] == ["Tutorial", "How-to", "Reference", "Explanation"]
    listed = {entry.path for part in parts for entry in part.entries}
    pages = {page for page in list_pages() if not page.startswith("docs/models/")}
    assert listed == pages - LEFT_OUT - {INDEX}


# myst-parser uses names that Sphinx 11 will not have.
@pytest.mark.filterwarnings("ignore::sphinx.deprecation.RemovedInSphinx11Warning")
@pytest.mark.parametrize("link", ["missing.md", "other.md#missing", "#missing"])
def test_broken_link_is_an_error(link: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sources = tmp_path / "sources" / "docs"
    sources.mkdir(parents=True)
    (sources / "index.md").write_text(f"# A\n\n[a link]({link})\n\n```{{toctree}}\nother\n```\n")
    (sources / "other.md").write_text("# B\n")
    assert builder.build_html(tmp_path / "sources", tmp_path / "out", tmp_path / "work") == 1
    assert "missing" in capsys.readouterr().err


def test_promises_name_existing_tests() -> None:
    text = (ROOT / "docs/promises.md").read_text("utf-8")
    sections = text.split("\n## ")[1:]
    assert len(sections) >= 9
    for section in sections:
        assert "**For your money**" in section
        tests = re.findall(r"\]\(\.\./(tests/\S+\.py)\)", section)
        assert tests
        assert all((ROOT / name).is_file() for name in tests)
