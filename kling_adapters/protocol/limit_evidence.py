"""Evidence of a rate limit: a test that tells the refusals of a limit from those of bad luck.

Random refusals are independent of the load: each answer is one with the same probability p, the luck. A limit that is
exceeded refuses a share of the requests on top of that, at least EXCESS of them once it matters. After each answer the
log of the likelihood ratio of the two is added to a score that never falls below zero. This is Page's cumulative sum
test (1954), the quickest for a given rate of false alarms. A refusal adds log(q / p) with q = p + (1 - p) * EXCESS; an
accepted request takes log((1 - p) / (1 - q)) away, about a third.

The luck is learned from answers that a limit had no part in, that is, whenever the score is back at zero. With a luck
of nearly zero, two refusals are enough for an alarm; with one of 5 %, it takes four in a row or more among others, and
a false alarm happens once in some thousands of requests.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

EXCESS = 0.3
"""Share of the requests that a limit refuses, at least, when it is exceeded."""
ALARM = 6.0
"""Score of an alarm: a likelihood ratio of 400."""
_LEAST_LUCK, _MOST_LUCK = 0.005, 0.2
_MEMORY = 500
"""Answers over which the luck is averaged."""


@dataclass
class Evidence:
    """The score, and the luck.

    Attributes:
        score: The evidence for a limit.
        refused: The number of refused requests among `total`, which fade with time.
        total: The number of answers.
        pending_refused: The number of refusals since the score was zero, which may be those of a limit.
        pending_total: The number of answers since the score was zero.

    """

    score: float = 0.0
    refused: float = 1.0
    total: float = 20.0
    pending_refused: int = 0
    pending_total: int = 0

    @property
    def luck(self) -> float:
        """The share of requests that is refused at random."""
        return min(_MOST_LUCK, max(_LEAST_LUCK, self.refused / self.total))

    def add_success(self) -> None:
        """Count an accepted request."""
        self.score = max(0.0, self.score + math.log((1 - self._expect_refusals()) / (1 - self.luck)))
        self._count(0)

    def add_refusal(self) -> bool:
        """Count a refusal and return whether it is a limit."""
        self.score += math.log(self._expect_refusals() / self.luck)
        self._count(1)
        return self.score >= ALARM

    def clear(self) -> None:
        """Start anew, with the same luck."""
        self.score = 0.0
        self.pending_refused = self.pending_total = 0

    def _expect_refusals(self) -> float:
        return self.luck + (1 - self.luck) * EXCESS

    def _count(self, refusals: int) -> None:
        self.pending_refused += refusals
        self.pending_total += 1
        if self.score == 0.0:
            fading = (1 - 1 / _MEMORY) ** self.pending_total
            self.refused = self.refused * fading + self.pending_refused
            self.total = self.total * fading + self.pending_total
            self.clear()
