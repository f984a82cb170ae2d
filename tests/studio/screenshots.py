"""Take the pictures of docs/studio.md: every page of the studio, light and dark. `make screenshots`.

The data are the same each time: jobs of a sandbox, which stands for the gateway of an account, at fixed distances from
now.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from PIL import Image
from playwright.sync_api import Page

from kling_adapters import Kling, KlingError
from kling_adapters.testing import SimulatedClock
from tests.studio.browsing import NARROW, WIDE, Visitor, open_browser
from tests.studio.processes import SandboxProcess, StudioProcess

ROOT: Final = Path(__file__).parents[2]
PICTURES: Final = ROOT / "docs" / "studio"
LARGEST: Final = 100_000
HOUR, DAY = 3600.0, 86400.0

LOAD: Final = """async (video) => {
  video.preload = "auto";
  while (video.readyState < 4 || video.networkState !== 1) await new Promise((done) => setTimeout(done, 20));
}"""


@dataclass(frozen=True)
class Plan:
    """A job of the pictures: its model and prompt, its age in seconds, the fault that ends it, and its speed."""

    model: str
    prompt: str
    age: float
    fault: str | None = None
    speed: float = 1.0


PLANS: Final = (
    Plan("kling-3-text2image", "A paper boat on a wet street", 24 * DAY),
    Plan("kling-2", "Fog rolls over a pine forest at dawn", 21 * DAY, speed=1.1),
    Plan("kling-2.5-turbo", "A tram crosses a bridge in the snow", 17 * DAY),
    Plan("kling-1.6-text2video", "Lanterns rise over a lake", 16 * DAY),
    Plan("kling-2", "A lighthouse in a storm, waves breaking over the rocks", 12 * DAY),
    Plan("kling-2.5-turbo", "A lighthouse in a storm, waves breaking over the rocks", 12 * DAY),
    Plan("kling-3-text2image", "A lighthouse in a storm, waves breaking over the rocks", 12 * DAY),
    Plan("kling-3-text2image", "A harbour in the style of a woodcut", 9 * DAY),
    Plan("kling-2.5-turbo", "A fox looks up from the grass", 6 * DAY),
    Plan("kling-2", "Rain on the window of a night train", 5 * DAY, speed=0.8),
    Plan("kling-1.6-text2video", "Clouds race over a mountain pass", 3 * DAY),
    Plan("kling-2.5-turbo", "Steam over a cup of coffee", 2 * DAY),
    Plan("kling-2", "A crowd in a stadium, seen from above", 27 * HOUR, "failed"),
    Plan("kling-3-text2image", "A map of an island that does not exist", 20 * HOUR),
    Plan("kling-2.5-turbo", "A kite over the dunes", 5 * HOUR),
    Plan("kling-1.6-text2video", "Waves under a wooden pier", 2 * HOUR, "reset-late"),
    Plan("kling-2", "A lighthouse at night, its beam in the fog", 0.6 * HOUR, speed=1.2),
    Plan("kling-2", "Sunflowers turn to the sun", 130, "running"),
)

SETTLE: Final = 900.0
"""Milliseconds in which the controls of a video that has loaded stop turning."""
SLOWER: Final = """UPDATE jobs SET result = json_set(result, '$.metrics.total_time',
json_extract(result, '$.metrics.total_time') * ?) WHERE id = ? AND json_extract(result, '$.metrics.total_time') > 0"""
SPECS: Final = {
    "kling-2": ("description: Length of the video in seconds.", "description: TODO"),
    "kling-2.5-turbo": ("\ntitle: ", "\ncolour: blue\ntitle: "),
}
"""The specs of the page of the platform: a text of each, and the mistake that replaces it."""


def main() -> None:
    """Write the pictures, and complain about those that are too large."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="kling-pictures-") as place,
        open_pages(Path(place)) as (page, ids),
    ):
        for name, address, prepare in list_views(ids):
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)
                path = PICTURES / f"{name}-{scheme}.png"
                take(page, address, prepare, path, is_narrow=name.startswith("phone"), folder=place)
                size = path.stat().st_size
                sys.stdout.write(f"{path.relative_to(ROOT)} {size / 1000:.0f} kB\n")
                assert size <= LARGEST, f"{path.name} is too large"


def list_views(ids: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Yield the name of each picture, the address of its page, and a script that prepares it."""
    yield "models", "/", ""
    yield "form", "/models/kling-3-pro-image2video?example=0", ""
    yield "message", "/models/kling-2", "message"
    yield "jobs", "/jobs", ""
    yield "job", f"/jobs/{ids[-2]}", ""
    yield "running", f"/jobs/{ids[-1]}", ""
    yield "compare", f"/compare?ids={ids[4]},{ids[5]},{ids[6]}", ""
    yield "usage", "/usage", ""
    yield "platform", "/platform", ""
    yield "phone-form", "/models/kling-2?example=0", ""
    yield "phone-jobs", "/jobs", ""


@contextmanager
def open_pages(place: Path) -> Iterator[tuple[Page, list[str]]]:
    """Run the jobs, a studio and a browser; yield a page, and the ids of the jobs."""
    folder, journal, specs = place / "studio", place / "journal.sqlite3", place / "specs"
    specs.mkdir()
    for name, (before, after) in SPECS.items():
        text = (ROOT / f"specs/{name}.yaml").read_text("utf-8").replace(name, f"{name}-draft")
        text = text.replace("\ntitle: ", "\ntitle: Draft of ", 1)
        assert before in text
        (specs / f"{name}-draft.yaml").write_text(text.replace(before, after), "utf-8")
    with SandboxProcess("latency:1") as gateway, open_browser() as browser:
        ids = run_jobs(gateway, journal, folder)
        # The history must not have the job of the uncertain submit yet.
        control(gateway, "faults", {"faults": [{"kind": "missing"}]})
        options = ("--journal", str(journal), "--specs", str(specs))
        with StudioProcess(folder, *options, environment=gateway.environment) as studio:
            visitor = Visitor(
                browser, studio.base_url, locale="en-GB", timezone_id="UTC", reduced_motion="no-preference"
            )
            visitor.page.goto(studio.link)
            visitor.page.goto("/platform")
            visitor.page.locator(".spec").nth(1).wait_for()
            yield visitor.page, ids
            visitor.close()


def run_jobs(gateway: SandboxProcess, journal: Path, folder: Path) -> list[str]:
    """Run the jobs of the plans, and move each back in the journal by its age. Return their ids."""
    handles = [f"{number:024x}" for number in range(1, len(PLANS) + 1)]
    options: dict[str, Any] = {"base_url": gateway.base_url, "api_key": gateway.secret, "journal": journal}
    with Kling(**options, clock=SimulatedClock(), history=False) as kling:
        for plan, handle in zip(PLANS, handles, strict=True):
            faults = [{"kind": plan.fault, "method": "POST"}] if plan.fault not in {None, "running"} else []
            control(gateway, "faults", {"faults": faults})
            try:
                destination = f"{folder / 'outputs' / handle}/"
                job = kling.submit_model(plan.model, {"prompt": plan.prompt}, save_to=destination)
                if plan.fault == "running":
                    continue
                control(gateway, "clock", {"advance": (kling.catalog[plan.model].latency or 60.0) + 1})
                job.wait().save(destination)
            except KlingError:
                assert plan.fault is not None
    now = time.time()
    with closing(sqlite3.connect(journal)) as connection, connection:
        for number, plan in enumerate(PLANS, 1):
            connection.execute("UPDATE jobs SET created = ? WHERE id = ?", (now - plan.age, number))
            connection.execute(SLOWER, (plan.speed, number))
    return handles


def control(gateway: SandboxProcess, name: str, body: Any) -> None:
    """Use the control interface of a sandbox."""
    url = f"{gateway.base_url}/_sandbox/{name}"
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request):
        pass


def take(page: Page, address: str, prepare: str, path: Path, *, is_narrow: bool, folder: str) -> None:
    """Write the picture of a whole page."""
    page.set_viewport_size(NARROW if is_narrow else WIDE)
    page.goto(address)
    if prepare == "message":
        page.locator("#prompt").fill("A lighthouse in a storm")
        page.locator("#cfg_scale").fill("3")
        page.locator("#problem-cfg_scale p").wait_for()
        page.locator("#prompt").blur()
    for video in page.locator("video").all():
        video.scroll_into_view_if_needed()
        video.evaluate(LOAD)
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(SETTLE)
    page.evaluate(
        """folder => {
      document.querySelectorAll("code").forEach((one) => { one.textContent = one.textContent.replaceAll(folder, "~"); });
    }""",
        folder,
    )
    if not is_narrow:
        height = page.evaluate("document.documentElement.scrollHeight")
        page.set_viewport_size({"width": WIDE["width"], "height": min(max(height, WIDE["height"]), 1500)})
    picture = Image.open(BytesIO(page.screenshot())).convert("RGB")
    picture.save(path, optimize=True)
    if path.stat().st_size > LARGEST:
        picture.quantize(256, kmeans=1, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    main()
