"""Two servers with one journal, which receive requests with the same keys in the same instant."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from kling_sandbox import Fault, Sandbox

from kling_adapters.testing import PNG
from tests.support.serving import ALICE, wait_for_end

KLING = Path(sys.executable).with_name("kling")
KEYS = 12
# The check of a key and the intent in the journal are this far apart, in which both servers could submit.
SLOW_UPLOADS = (Fault("latency", 1, "POST", "/upload-asset", seconds=0.3),)


@contextmanager
def run_servers(gateway: Sandbox, folder: Path, folders: tuple[str, str]) -> Iterator[list[httpx.Client]]:
    """Run two servers with a journal of both, and yield a client of each."""
    tokens = folder / "tokens.toml"
    tokens.write_text(f'[alice]\ntoken = "{ALICE}"\n')
    environment = {**os.environ, "SEGMIND_API_KEY": gateway.api_key, "KLING_BASE_URL": gateway.base_url}
    options: list[str | Path] = ["--journal", folder / "journal.sqlite3", "--tokens", tokens, "--no-sandbox"]
    with ExitStack() as stack:
        clients: list[httpx.Client] = []
        for name in folders:
            process = subprocess.Popen(
                [KLING, "serve", "--port", "0", "--folder", folder / name, *options],
                env=environment, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
            stack.enter_context(process)
            stack.callback(process.terminate)
            assert process.stdout is not None
            address = process.stdout.readline().split()[1]
            headers = {"Authorization": f"Bearer {ALICE}"}
            client = httpx.Client(base_url=address, headers=headers, timeout=60, trust_env=False)
            clients.append(stack.enter_context(client))
        yield clients


def submit_to_both(clients: list[httpx.Client], bodies: tuple[str, str]) -> dict[str, list[httpx.Response]]:
    """Send each key to both servers in the same instant; return the answers by key."""
    start = threading.Barrier(2 * KEYS)

    def submit(number: int) -> tuple[str, httpx.Response]:
        key, server = f"order {number // 2}", number % 2
        form: Any = {
            "data": {"model": "kling-o1-image-to-video", "prompt": f"{key}{bodies[server]}"},
            "files": {"input_reference": PNG + key.encode()},
        }
        start.wait()
        return key, clients[server].post("/v1/videos", **form, headers={"Idempotency-Key": key})

    answers: dict[str, list[httpx.Response]] = {}
    with ThreadPoolExecutor(2 * KEYS) as pool:
        for key, answer in pool.map(submit, range(2 * KEYS)):
            answers.setdefault(key, []).append(answer)
    return answers


def count_prompts(gateway: Sandbox) -> Counter[str]:
    return Counter(request.json["prompt"] for request in gateway.submits)


@pytest.mark.parametrize("folders", [("one", "one"), ("one", "two")])
def test_one_key_at_two_servers_is_billed_once(tmp_path: Path, folders: tuple[str, str]) -> None:
    with Sandbox(timing="at-once", faults=SLOW_UPLOADS, credits=1e6) as gateway:
        with run_servers(gateway, tmp_path, folders) as clients:
            answers = submit_to_both(clients, ("", ""))
            ids = {answer.json()["id"] for pair in answers.values() for answer in pair}
            assert len(ids) == KEYS
            for client, job_id in zip(clients, sorted(ids), strict=False):
                assert wait_for_end(client, job_id)["status"] == "completed"
                assert client.get(f"/v1/videos/{job_id}/content").content[4:8] == b"ftyp"
        # A server that stops ends its submits first.
        assert count_prompts(gateway) == dict.fromkeys(answers, 1)


def test_one_key_for_two_requests_at_two_servers_is_billed_once(tmp_path: Path) -> None:
    with Sandbox(timing="at-once", faults=SLOW_UPLOADS, credits=1e6) as gateway:
        with run_servers(gateway, tmp_path, ("one", "one")) as clients:
            answers = submit_to_both(clients, (" here", " there"))
        billed = [prompt.rpartition(" ")[0] for prompt in count_prompts(gateway).elements()]
        assert sorted(billed) == sorted(answers)
        assert {answer.status_code for pair in answers.values() for answer in pair} <= {200, 409}
