from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from .inputs import inputs
from .edits import edits
from .judging import Judge, disagreements
from .models import models

MODELS = models()


@pytest.mark.parametrize("slug", sorted(MODELS))
def test_x(slug: str) -> None:
    schema, model = MODELS[slug]
    seen: Counter[str] = Counter()
    judge = Judge(schema, model)

    @settings(max_examples=15, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(inputs(schema))
    def agree(body: dict[str, Any]) -> None:
        assert not (f := judge.disagreement(body)), f
        for e in edits(schema, body):
            f = judge.disagreement(e.of(body))
            if f:
                what = f"{e.place} {e.value!r:.60} {f.what:.300}"
                key = f"{f.what:.25}|{type(e.value).__name__}|{repr(e.value)[-8:]}"
                seen[key] += 1
                if seen[key] == 1:
                    print(what)

    import time
    t = time.process_time()
    agree()
    print(slug, judge.judged, judge.taken, time.process_time() - t, seen.total())
    assert not seen
