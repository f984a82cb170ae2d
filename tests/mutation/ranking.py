"""The tests that may detect a change, in the order in which they run."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

from tests.mutation.changes import Mutant

MAX_SECONDS = 10.0
"""Processor time of the tests of a change."""


@dataclass
class Tests:
    """Measures of the tests.

    Attributes:
        seconds: The processor time of each test.
        lines: The tests that reach each line of each module.
        words: The words of each test without its parameters.

    """

    seconds: dict[str, float]
    lines: dict[str, dict[int, set[str]]]
    words: dict[str, set[str]]
    _detections: dict[str, Counter[str]] = field(
        default_factory=partial(defaultdict[str, Counter[str]], Counter[str])
    )

    def rank(self, mutant: Mutant) -> dict[str, float]:
        """Return the tests of a change and their seconds.

        Those that detected others nearby are first, then those of the module, then the likeliest.
        """
        nearby = self._detections[mutant.place]
        turn, turns = dict[str, int](), Counter[str]()
        reaching = sorted(self._reaching(mutant), key=lambda test: (self.seconds[test], test))
        for test in reaching:
            turns[name_function(test)] += 1
            turn[test] = turns[name_function(test)]
        likeness = self._measure_likeness(mutant)

        def judge(test: str) -> tuple[float, ...]:
            function, seconds = name_function(test), max(0.05, self.seconds[test])
            gain = likeness.get(function, 0.0) / turn[test] / seconds
            return -nearby[test], not is_test_of(mutant, test), -nearby[function], -gain, turn[test]

        order = sorted(reaching, key=judge)
        total, ranked = 0.0, dict[str, float]()
        for test in order:
            # A slow test leaves time for the fast ones after it.
            if not ranked or total + self.seconds[test] <= MAX_SECONDS:
                total += self.seconds[test]
                ranked[test] = self.seconds[test]
        return ranked

    def note_detection(self, mutant: Mutant, test: str) -> None:
        """Note that a test detected a change."""
        self._detections[mutant.place].update((test, name_function(test)))

    def _measure_likeness(self, mutant: Mutant) -> dict[str, float]:
        """Return for each test the number of words that it shares with a change; a common word counts little."""
        likeness: dict[str, float] = defaultdict(float)
        for word in (
            split_words(f"{mutant.path.stem} {mutant.place} {mutant.before}") & self._tests_of_words.keys()
        ):
            for function in self._tests_of_words[word]:
                likeness[function] += 1 / len(self._tests_of_words[word])
        return likeness

    @cached_property
    def _tests_of_words(self) -> dict[str, list[str]]:
        tests: dict[str, list[str]] = defaultdict(list)
        for function, words in self.words.items():
            for word in words:
                tests[word].append(function)
        return tests

    def _reaching(self, mutant: Mutant) -> set[str]:
        reached = self.lines.get(str(mutant.path), {})
        if mutant.is_in_function:
            # A constant may belong to a line before it.
            lines = [line for line in range(mutant.lines.start, 0, -1) if reached.get(line)][:1]
            tests = {test for line in (*mutant.lines, *lines) for test in reached.get(line, ())}
        else:
            tests = self._mentioning(mutant.place.rpartition(".")[2])
        tests |= self._of_models.get(mutant.path.stem, set())
        # No test, or only the first of several, reaches a line that runs at import or is cached.
        tests |= {test for test in self.seconds if is_test_of(mutant, test)}
        return tests or {test for line in reached.values() for test in line} or set(self.seconds)

    @cached_property
    def _of_models(self) -> dict[str, set[str]]:
        """The tests whose parameter is the slug of a generated model, by the name of its module."""
        tests: dict[str, set[str]] = defaultdict(set)
        for test in self.seconds:
            tests[re.sub("[-.]", "_", test).rpartition("[")[2].rstrip("]")].add(test)
        return tests

    def _mentioning(self, name: str) -> set[str]:
        """Return the tests that reach a line with a name, or have all its words."""
        word, words = re.compile(rf"\b{name}\b"), split_words(name)
        naming = {test for test in self.seconds if words and words <= self.words[name_function(test)]}
        return naming | {
            test
            for path, lines in self.lines.items()
            for number, text in enumerate(Path(path).read_text("utf-8").splitlines(), start=1)
            if word.search(text)
            for test in lines.get(number, ())
        }


def is_test_of(mutant: Mutant, test: str) -> bool:
    """Return whether a test is in the file that is named like the changed module."""
    return f"/test_{mutant.path.stem}.py::" in test


def name_function(test: str) -> str:
    """Return the name of a test without its parameters."""
    return test.partition("[")[0]


def split_words(text: str) -> set[str]:
    """Return the words of a text, those within identifiers included."""
    return {word.lower() for word in re.findall("[A-Z]?[a-z]{2,}|[A-Z]{3,}|[0-9]{2,}", text)}
