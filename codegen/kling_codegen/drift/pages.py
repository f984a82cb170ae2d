"""The copies of documentation pages in a folder, compared with the specs of their models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from kling_codegen.diff.change import Change
from kling_codegen.draft.compare import Comparison, compare_page
from kling_codegen.draft.page import MAX_CHARACTERS, NotAPage, read_slug
from kling_codegen.drift.models import has_moved
from kling_codegen.language import Spec
from kling_codegen.load.folder import read_bytes

MAX_PAGES: Final = 1_000
# A character of UTF-8 has up to four bytes.
_MAX_BYTES: Final = 4 * MAX_CHARACTERS


@dataclass
class PageResults:
    """The results of the pages of a folder.

    Attributes:
        comparisons: the comparisons by slug.
        unknown: the files of pages without a spec, by slug.
        problems: why a page could not be compared, or not whole.

    """

    comparisons: dict[str, Comparison] = field(default_factory=dict[str, Comparison])
    unknown: dict[str, str] = field(default_factory=dict[str, str])
    problems: list[str] = field(default_factory=list[str])

    @property
    def changes(self) -> list[Change]:
        """The changes of all pages, without averages that have moved a little."""
        changes = (change for comparison in self.comparisons.values() for change in comparison.changes)
        return [change for change in changes if _counts(change)]


def compare_pages(folder: Path, specs: Mapping[str, Spec]) -> PageResults:
    """Compare every *.txt of a folder with the spec of the model that the page names.

    A file name is never made from a page: the slug in the page only selects a spec.

    Raises:
        OSError: The folder cannot be read.

    """
    results = PageResults()
    paths = sorted(path for path in folder.iterdir() if path.suffix == ".txt")
    if not paths:
        results.problems.append(f"{folder} has no *.txt")
    if len(paths) > MAX_PAGES:
        results.problems.append(f"{folder} has {len(paths)} pages; the first {MAX_PAGES} are compared")
    for path in paths[:MAX_PAGES]:
        results.problems += [f"{path.name}: {problem}" for problem in _compare(path, specs, results)]
    return results


def _compare(path: Path, specs: Mapping[str, Spec], results: PageResults) -> Iterator[str]:
    """Compare one page; yield its problems."""
    try:
        text = read_bytes(path, _MAX_BYTES).decode("utf-8-sig").replace("\r\n", "\n")
        slug = read_slug(text)
        if slug in results.comparisons or slug in results.unknown:
            yield f"another page of {slug} was compared"
        elif path.stem in specs and path.stem != slug:
            yield f"it is the page of {slug}"
        elif slug not in specs:
            results.unknown[slug] = path.name
        else:
            comparison = compare_page(text, path.name, specs[slug])
            results.comparisons[slug] = comparison
            if comparison.cut_line:
                yield f"the page of {slug} ends within its parameters; those that follow were not compared"
    except NotAPage as error:
        yield f"it is not a model page: {error}"
    except UnicodeDecodeError:
        yield "it is not UTF-8 text"
    except OSError as error:
        yield f"it cannot be read: {error.strerror}"


def _counts(change: Change) -> bool:
    is_average = change.aspect in ("latency_seconds", "pricing.from", "pricing.to")
    return not is_average or change.before is None or has_moved(change.before, change.after)
