"""Licences of everything that the distributions bring into an environment, from the installed metadata."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ALLOWED = {
    "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "HPND", "ISC", "MIT", "MIT-0", "MIT-CMU", "MPL-2.0",
    "PSF-2.0", "Unlicense", "Zlib",
}  # fmt: skip
# The words of old metadata, from before licence expressions.
SPELLINGS = {
    "3-clause bsd license": "BSD-3-Clause",
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "bsd license": "BSD-3-Clause",
    "isc license (iscl)": "ISC",
    "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
}


def license_problems(roots: Iterable[str]) -> list[str]:
    """Return a line for each dependency, direct or not, of installed distributions whose licence is not allowed."""
    names = set(roots)
    return sorted(
        f"{name}: {license_of(name) or 'no licence in the metadata'}"
        for name in required_names(names) - names
        if not is_allowed(license_of(name))
    )


def required_names(roots: Iterable[str]) -> set[str]:
    """Return the normalized names of distributions and of everything they require here, with all extras of the roots."""
    queue = [(name, frozenset(metadata.metadata(name).get_all("Provides-Extra", []))) for name in roots]
    visited = set()
    while queue:
        name, extras = queue.pop()
        if (name, extras) not in visited:
            visited.add((name, extras))
            queue += _requirements(name, extras)
    return {name for name, _ in visited}


def license_of(name: str) -> str:
    """Return the licence of an installed distribution as an SPDX expression, or the words in which it names one."""
    fields = metadata.metadata(name)
    if "License-Expression" in fields:
        return fields["License-Expression"]
    classifiers = [
        field.rsplit(" :: ", 1)[-1]
        for field in fields.get_all("Classifier", [])
        if field.startswith("License")
    ]
    texts = [*classifiers, *fields.get_all("License", [""])[0].splitlines()[:1]]
    expressions = [SPELLINGS.get(text.lower(), text) for text in texts]
    return next(filter(is_allowed, expressions), " / ".join(expressions))


def is_allowed(expression: str) -> bool:
    """Return whether an SPDX expression can be met with the allowed licences: every part of AND, one part of OR."""
    alternatives = re.split(r"\s+OR\s+", expression.replace("(", " ").replace(")", " "))
    return any(
        all(part.strip() in ALLOWED for part in re.split(r"\s+AND\s+", alternative))
        for alternative in alternatives
    )


def _requirements(name: str, extras: frozenset[str]) -> Iterator[tuple[str, frozenset[str]]]:
    """Yield the requirements of an installed distribution that apply to this machine."""
    for text in metadata.requires(name) or ():
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield canonicalize_name(requirement.name), frozenset(requirement.extras)
