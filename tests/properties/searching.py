"""What the tests of this folder do with a model: judge many edits of many inputs, and fail at the first disagreement.

They take any packaged schema and model, so that the same functions can be seen to catch faults planted on purpose.
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

# `make fuzz` judges that many edits of each model; `make test` those of a few inputs.
FUZZED_EDITS = 100_000
_FEW = 3
_COMBINATIONS = 100


def every_edit(schema: Schema, model: type[Params]) -> Judge:
    """Judge inputs and every single edit of each; return the judge, who has counted. Raises AssertionError."""
    judge = Judge(schema, model)

    def judged(body: dict[str, Any], seed: int) -> None:
        if judge.judged < FUZZED_EDITS:
            _agreed(judge, body)
            for edit in edits(schema, body):
                _agreed(judge, edit.of(body))

    _searched(schema, judged, sum(1 for _ in edits(schema, least(schema))))
    return judge


def several_edits(schema: Schema, model: type[Params]) -> Judge:
    """Judge inputs with two to four edits made at once, as `every_edit` does."""
    judge = Judge(schema, model)

    def judged(body: dict[str, Any], seed: int) -> None:
        if judge.judged < FUZZED_EDITS:
            drawn, known = random.Random(seed), list(edits(schema, body))
            for _ in range(_COMBINATIONS):
                _agreed(judge, combined(drawn.choices(known, k=drawn.randint(2, 4)), body))

    _searched(schema, judged, _COMBINATIONS)
    return judge


def _agreed(judge: Judge, body: Any) -> None:
    found = judge.disagreement(body)
    assert found is None, f"{found}"


def _searched(schema: Schema, judged: Callable[[dict[str, Any], int], None], fewest: int) -> None:
    """Run a check on the examples of a spec, which use every parameter between them, and on inputs that are drawn.

    `fewest` is how many edits of an input there are at least.
    """
    fuzzing = settings.get_current_profile_name() == "fuzz"
    test = given(inputs(schema), st.integers(0, 2**32))(judged)
    for body in schema.get("examples", ()):
        test = example(body, 0)(test)
    # An example is kept by the code of its test, which is the same for all models.
    kept = DirectoryBasedExampleDatabase(f"out/hypothesis/{schema['x-kling']['slug']}")
    settings(
        database=kept if fuzzing else None,
        max_examples=FUZZED_EDITS // fewest + 1 if fuzzing else _FEW,
        # A smaller input would say no more than the edit that is reported, and each step towards it costs all edits.
        phases=[Phase.explicit, Phase.reuse, Phase.generate],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )(test)()
