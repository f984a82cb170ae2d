"""What errors say about the money: a submit that may have started a job, and a refusal of a later request."""

from __future__ import annotations

from pathlib import Path

import pytest
from kling_sandbox import Fault, Faults, Sandbox

import kling_adapters as ka
from tests.support.clients import OpenClient

CHECK = "ook at the requests and the credits of your account before you submit again."


@pytest.mark.parametrize("has_journal", [True, False])
def test_lost_answer_names_what_can_look_for_the_job(
    open_client: OpenClient, sandbox: Sandbox, tmp_path: Path, has_journal: bool
) -> None:
    sandbox.faults = Faults([Fault("reset-late", method="POST", path="/v2/*")])
    journal = tmp_path / "journal" if has_journal else None
    with (
        open_client(sandbox, journal=journal, history=False) as kling,
        pytest.raises(ka.SubmitUncertain) as caught,
    ):
        kling.submit("kling-2", prompt="a heron")
    text, search = str(caught.value), "kling.reconcile(); the submit is entry 1 of the journal. If it stays"
    assert text.startswith("The submit may have started a kling-2 job that will be billed: ")
    assert text.endswith(CHECK)
    assert caught.value.entry == (1 if has_journal else None)
    assert (search in text, "reconcile" in text) == (has_journal, has_journal)
