"""Search for disagreements: judge edits of inputs and fail at the first one.

The functions take any packaged schema and model, so that `test_planted.py` can show that they catch planted faults.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from hypothesis.database import DirectoryBasedExampleDatabase

from kling_adapters import Params

from .edits import edits
from .inputs import inputs, least
from .judging import Judge, combined

Schema = Mapping[str, Any]

# Edits of each model that `make fuzz` judges; `make test` judges those of a few inputs.
FUZZED_EDITS = 100_000
_FEW = 3
_COMBINATIONS = 100


def every_edit(schema: Schema, model: type[Params]) -> Judge:
    """Judge inputs and every single edit of each; return the judge, who has counted. Raises AssertionError."""
    judge = Judge(schema, model)

    def judge_input(body: dict[str, Any], seed: int) -> None:
        if judge.judged < FUZZED_EDITS:
            _assert_agreement(judge, body)
            for edit in edits(schema, body):
                _assert_agreement(judge, edit.of(body))

    _search(schema, judge_input, sum(1 for _ in edits(schema, least(schema))))
    return judge


def several_edits(schema: Schema, model: type[Params]) -> Judge:
    """Judge inputs with two to four edits made at once, as `every_edit` does."""
    judge = Judge(schema, model)

    def judge_input(body: dict[str, Any], seed: int) -> None:
        if judge.judged < FUZZED_EDITS:
            drawn, all_edits = random.Random(seed), list(edits(schema, body))
            for _ in range(_COMBINATIONS):
                _assert_agreement(judge, combined(drawn.choices(all_edits, k=drawn.randint(2, 4)), body))

    _search(schema, judge_input, _COMBINATIONS)
    return judge


def _assert_agreement(judge: Judge, body: Any) -> None:
    disagreement = judge.disagreement(body)
    assert disagreement is None, f"{disagreement}"


def _search(schema: Schema, judge_input: Callable[[dict[str, Any], int], None], smallest: int) -> None:
    """Run a check on the examples of a spec, which use every parameter between them, and on inputs that are drawn.

    `fewest` is how many edits of an input there are at least.
    """
    fuzzing = settings.get_current_profile_name() == "fuzz"
    test = given(inputs(schema), st.integers(0, 2**32))(judge_input)
    for body in schema.get("examples", ()):
        test = example(body, 0)(test)
    # Hypothesis stores an example under the code of its test, which is the same for all models.
    database = DirectoryBasedExampleDatabase(f"out/hypothesis/{schema['x-kling']['slug']}")
    settings(
        database=database if fuzzing else None,
        max_examples=FUZZED_EDITS // smallest + 1 if fuzzing else _FEW,
        # Shrinking would judge all edits again at each step, and the reported edit is small already.
        phases=[Phase.explicit, Phase.reuse, Phase.generate],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )(test)()
