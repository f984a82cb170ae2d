"""The sources of the site in one folder, at the same paths as in the repository, so that every link holds."""

from __future__ import annotations

import posixpath
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from docs.builder.navigation import ROOT, Part

_LINK = re.compile(r"\]\((?!\w+:|#|/)([^)#\s]+)")
_CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)


def stage_sources(folder: Path, parts: Iterable[Part], generated: Mapping[str, str]) -> list[str]:
    """Write the pages of all parts and every file to which they link.

    Args:
        folder: The folder for the sources; it is replaced.
        parts: The parts of the navigation.
        generated: The texts of generated pages by path; they replace files of the repository.

    Returns:
        The paths of the pages.

    Raises:
        FileNotFoundError: A page of the navigation does not exist.

    """
    shutil.rmtree(folder, ignore_errors=True)
    pages = dict.fromkeys(entry.path for part in parts for entry in part.entries) | dict.fromkeys(generated)
    texts = {path: generated.get(path) or (ROOT / path).read_text("utf-8") for path in pages}
    for path, text in texts.items():
        _write(folder / path, text)
    files = {target for path, text in texts.items() for target in _linked_files(path, text)}
    for name in sorted(files - texts.keys()):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)
    return list(texts)


def _linked_files(page: str, text: str) -> set[str]:
    """Return the files of the repository to which a page links, relative to the root."""
    targets = _LINK.findall(_CODE.sub("", text))
    paths = {posixpath.normpath(posixpath.join(posixpath.dirname(page), target)) for target in targets}
    return {path for path in paths if not path.startswith("..") and (ROOT / path).is_file()}


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
