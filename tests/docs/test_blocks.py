"""Every code block of every page runs, is parsed, or says why not."""

from __future__ import annotations

import fnmatch
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kling_codegen.language import Spec
from kling_codegen.load.folder import read_file
from kling_sandbox import Sandbox
from ruamel.yaml import YAML

from tests.docs.blocks import ROOT, Block, list_pages, read_blocks
from tests.docs.shell import run_commands
from tests.docs.support import Surroundings, surround

PAGES = [page for page in list_pages() if read_blocks(page)]
# Lines that the Python blocks of a page print; `…` stands for any characters.
OUTPUTS = {
    "README.md": "…\n…/media/….mp4 1.0\n…/renders/kling-2-….mp4 …",
    "docs/client.md": "….mp4\n['COMPLETED']\n0.5 0.5 0.5 ('journal'…) …\n1 to finish\n9 completed\n42.0",
    "docs/essentials.md": "…renders/kling-2-….mp4 0.5 http…\n… COMPLETED\nhttp…\n0 … None\n…",
    "docs/guide/batch.md": "expected: 1.5 credits\nfirst run [None, None, None] …\nthe same again [None, None, None] …\nfrom CSV: [None]",
    "docs/validation.md": "['prompt', 'duration', 'aspect']\n[]",
    "docs/guide/resume.md": "kling-2 ['kling-2-….mp4']",
    "docs/guide/failures.md": "/…\nfailed, not billed: job …",
}
SHELL = {"sh", "shell", "bash", "console"}


@pytest.fixture(scope="module")
def gateway() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.mark.filterwarnings("ignore:The Sora API")
@pytest.mark.parametrize("page", PAGES)
def test_blocks_of_page_run(
    page: str, gateway: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with surround(page, gateway, tmp_path) as surroundings:
        output = printed = ""
        for block in read_blocks(page):
            if block.reason:
                continue
            if block.test:
                check_test(block)
                continue
            output = run_block(block, surroundings, output)
            text = capsys.readouterr().out
            output += text
            printed += text
        if page in OUTPUTS:
            compare(OUTPUTS[page], printed, page)
    if page == "docs/interfaces.md":
        assert (tmp_path / "lighthouse.mp4").read_bytes()[4:8] == b"ftyp"


def run_block(block: Block, surroundings: Surroundings, output: str) -> str:
    """Run, parse or compare a block; `output` is that of the block before. Return what a command prints."""
    language = block.language or "sh"
    if language == "python":
        run_python(block, surroundings)
    elif language == "console":
        run_session(block)
    elif language in SHELL:
        return run_commands(block.text, block.place)
    elif language == "text":
        check_output(block, output)
    elif language == "diff":
        check_diff(block)
    else:
        parse_data(block, language)
    return ""


def run_python(block: Block, surroundings: Surroundings) -> None:
    if block.file_name:
        path = surroundings.folder / block.file_name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text)
        compile(block.text, block.place, "exec")
        return
    code = "\n" * block.line + block.text
    exec(compile(code, block.page, "exec"), {"__name__": "__main__", **surroundings.names})


def run_session(block: Block) -> None:
    """Run the commands after each `$`, and compare the lines below with what it prints."""
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, expected = part.partition("\n")
        compare(expected, run_commands(command, block.place), block.place)


def check_output(block: Block, output: str) -> None:
    compare(block.text, output, block.place)


def compare(expected: str, output: str, place: str) -> None:
    """Compare lines; `…` stands for any characters, and alone in a line for any lines."""
    pattern = "\n".join(line.rstrip() for line in expected.strip().splitlines())
    text = "\n".join(line.rstrip() for line in output.strip().splitlines())
    escaped = re.sub(r"([\[\]?*])", r"[\1]", pattern).replace("…", "*")
    assert not pattern or fnmatch.fnmatchcase(text, escaped), f"{place}:\n{text}"


def check_diff(block: Block) -> None:
    """Check that the lines to replace are in a file of the repository."""
    [path] = [ROOT / "specs/gateway.yaml"]
    lines = path.read_text("utf-8").splitlines()
    assert all(line[1:] in lines for line in block.text.splitlines() if line.startswith("-")), block.place


def parse_data(block: Block, language: str) -> None:
    if language == "toml":
        tomllib.loads(block.text)
    elif language == "yaml":
        data: Any = YAML(typ="safe").load(block.text)
        if "slug" in data:
            check_spec(block)
    elif language == "jsonl":
        assert all(json.loads(line)["model"] for line in block.text.splitlines())
        Path("films.jsonl").write_text(block.text)
    elif language == "json":
        json.loads(block.text)
    else:
        pytest.fail(f"{block.place}: blocks of {language} need a marker: <!-- not run: REASON -->")
    if block.file_name:
        Path(block.file_name).parent.mkdir(parents=True, exist_ok=True)
        Path(block.file_name).write_text(block.text)


def check_spec(block: Block) -> None:
    slug = re.findall(r"^slug: (\S+)", block.text, re.MULTILINE)[0]
    path = Path(f"{slug}.yaml")
    path.write_text(block.text)
    problems: list[Any] = []
    read_file(path, Spec, problems)
    path.unlink()
    assert problems == []


def check_test(block: Block) -> None:
    """Check that the test that the page names reads the page."""
    test = ROOT / block.test
    assert test.is_file(), block.place
    text = test.read_text("utf-8")
    assert Path(block.page).name in text, f"{block.place}: {block.test} does not read the page"
