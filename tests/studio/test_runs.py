"""What a person does in the studio, in a real browser: fill a form, run it, watch the video, find the job again."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.studio.browsing import TIMEOUT
from tests.studio.conftest import OpenVisitor
from tests.studio.processes import StudioProcess

expect.set_options(timeout=TIMEOUT)

PLAY = """video => new Promise((resolve, reject) => {
  video.addEventListener("timeupdate", () => { if (video.currentTime > 0.2) resolve(video.currentTime); });
  video.play().catch(reject);
})"""
SEEK = """video => new Promise((resolve) => {
  video.pause();
  video.addEventListener("seeked", () => resolve(video.currentTime), { once: true });
  video.currentTime = 4;
})"""


def submit_job(page: Page, prompt: str) -> str:
    """Run kling-2 with a prompt, and return the address of the job."""
    page.goto("/models/kling-2")
    page.get_by_label("prompt", exact=False).first.fill(prompt)
    page.get_by_role("button", name="Run", exact=True).click()
    page.wait_for_url(re.compile("/jobs/[a-z0-9]+$"))
    return page.url


def find_message(page: Page, field: str) -> Locator:
    return page.locator(f"#problem-{field}")


def test_form_runs_and_its_video_plays_and_seeks(page: Page) -> None:
    page.goto("/models/kling-2")
    page.get_by_label("prompt", exact=False).first.fill("A pier in the rain")
    page.get_by_text("9:16", exact=True).click()
    page.locator("#cfg_scale").fill("0.75")
    expect(page.locator("[data-slider=cfg_scale]")).to_have_js_property("value", "0.75")
    expect(page.locator("#code-python")).to_contain_text("cfg_scale=0.75")
    page.get_by_role("button", name="Run", exact=True).click()
    page.wait_for_url(re.compile("/jobs/[a-z0-9]+$"))
    expect(page.locator("dl.params")).to_contain_text("9:16")
    video = page.locator("video")
    expect(video).to_be_visible()
    assert video.evaluate(PLAY) > 0.2
    assert video.evaluate(SEEK) == 4
    assert video.evaluate("video => video.videoHeight > video.videoWidth")
    expect(page.locator(".badge")).to_have_text("Done")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename.endswith(".mp4")


def test_live_state_needs_no_reload(page: Page) -> None:
    submit_job(page, "A tide")
    page.evaluate("window.isSamePage = true")
    expect(page.locator(".badge")).to_have_text("Done")
    assert page.evaluate("window.isSamePage")


def test_bad_value_shows_its_message_at_its_field(page: Page) -> None:
    page.goto("/models/kling-2")
    scale = page.locator("#cfg_scale")
    scale.fill("3")
    expect(find_message(page, "cfg_scale")).to_contain_text("at most 1")
    expect(scale).to_have_attribute("aria-invalid", "true")
    expect(find_message(page, "prompt")).to_be_empty()  # its control was not used yet
    scale.fill("0.3")
    expect(find_message(page, "cfg_scale")).to_be_empty()
    expect(scale).not_to_have_attribute("aria-invalid", "true")


def test_run_shows_what_is_missing_and_goes_there(page: Page) -> None:
    page.goto("/models/kling-2")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(find_message(page, "prompt")).to_contain_text("equired")
    expect(page.locator("#prompt")).to_be_focused()
    assert page.url.endswith("/models/kling-2")


def test_late_answer_to_check_hides_no_message_of_run(page: Page) -> None:
    page.goto("/models/kling-2")
    held: list[Route] = []
    page.route("**/check", lambda route: held.append(route))  # noqa: PLW0108  playwright marks it
    with page.expect_request("**/check"):
        page.locator("#cfg_scale").fill("0.3")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(find_message(page, "prompt")).to_contain_text("equired")
    with page.expect_response("**/check"):
        held[0].continue_()
    page.unroute("**/check")
    page.locator("#cfg_scale").fill("0.4")
    expect(page.locator("#code-python")).to_contain_text("0.4")
    expect(find_message(page, "prompt")).to_contain_text("equired")


def test_items_of_a_list_are_added_and_removed(page: Page) -> None:
    page.goto("/models/kling-o1-reference-image-to-video")
    images = page.locator("fieldset.list").first
    images.locator("> [data-add]").click()
    images.locator("> [data-add]").click()
    items = images.locator("> [data-items] > li")
    expect(items).to_have_count(2)
    items.nth(0).locator("[data-remove]").click()
    expect(items).to_have_count(1)


def test_dropped_image_is_previewed_and_sent(page: Page, studio: StudioProcess, tmp_path: Path) -> None:
    file = tmp_path / "harbour.png"
    page.goto("/models/kling-2")
    page.screenshot(path=file)
    page.get_by_label("prompt", exact=False).first.fill("A picture that moves")
    page.locator("[data-drop=image] [data-file]").set_input_files(file)
    preview = page.locator("[data-preview] img")
    expect(preview).to_be_visible()
    assert preview.evaluate("image => image.decode().then(() => image.naturalWidth > 0)")
    page.get_by_role("button", name="Run", exact=True).click()
    page.wait_for_url(re.compile("/jobs/[a-z0-9]+$"))
    expect(page.locator(".badge")).to_have_text("Done")
    assert all(
        path.suffix == ".png" and path.stem != "harbour" for path in (studio.folder / "uploads").iterdir()
    )


def test_jobs_table_is_alike_after_reload_and_in_a_second_browser(
    page: Page, open_visitor: OpenVisitor
) -> None:
    page.goto("/")
    page.get_by_role("button", name="Open elsewhere").click()
    link = page.locator("#link").inner_text()
    second = open_visitor().page
    second.goto(link)
    second.goto("/jobs")
    url = submit_job(page, "Two browsers see this")
    row = second.locator("#rows > *", has_text="Two browsers see this")
    expect(row).to_have_count(1)  # it has come by itself
    expect(row.locator(".badge")).to_have_text("Done")
    expect(row.locator("video")).to_have_attribute("src", re.compile("/files/0"))
    second.reload()
    expect(second.locator("#rows > *", has_text="Two browsers see this").locator(".badge")).to_have_text(
        "Done"
    )
    page.goto("/jobs")
    page.get_by_role("link", name="Two browsers see this").first.click()
    page.wait_for_url(url)


def test_link_signs_in_once_and_no_stranger_gets_in(page: Page, open_visitor: OpenVisitor) -> None:
    page.goto("/")
    page.get_by_role("button", name="Open elsewhere").click()
    link = page.locator("#link").inner_text()
    stranger = open_visitor()
    assert stranger.page.goto(link).ok  # type: ignore[union-attr]
    latecomer = open_visitor()
    for address in (link, "/", "/jobs"):
        response = latecomer.page.goto(address)
        assert response is not None
        assert response.status == 401
    latecomer.complaints.clear()  # the browser notes each 401


def test_filters_show_what_they_say(page: Page) -> None:
    submit_job(page, "Needle in the hay")
    page.goto("/jobs")
    page.get_by_label("Search prompts, tags and ids").fill("needle IN")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("text=needle"))
    expect(page.locator("#rows > *")).to_have_count(1)
    page.goto("/jobs?state=uncertain")
    expect(page.locator("#rows > *")).to_have_count(0)
    expect(page.get_by_text("No job is like this filter")).to_be_visible()


def test_repeat_with_changes_has_the_earlier_values(page: Page) -> None:
    submit_job(page, "Once more")
    page.get_by_role("link", name="Repeat with changes").click()
    expect(page.locator("#prompt")).to_have_value("Once more")


def test_double_click_submits_once(page: Page) -> None:
    page.goto("/models/kling-2")
    page.get_by_label("prompt", exact=False).first.fill("Only once")
    page.get_by_role("button", name="Run", exact=True).dblclick()
    page.wait_for_url(re.compile("/jobs/[a-z0-9]+$"))
    page.goto("/jobs?text=Only+once")
    expect(page.locator("#rows > *")).to_have_count(1)


def test_comparison_runs_one_prompt_on_two_models(page: Page) -> None:
    page.goto("/compare")
    page.get_by_label("prompt").fill("Two views of a harbour")
    page.locator("[name=models][value=kling-2]").check()
    page.locator("[name=models][value=kling-3-text2image]").check()
    page.get_by_role("button", name="Run on the chosen models").click()
    page.wait_for_url(re.compile("ids="))
    expect(page.locator(".result .badge")).to_have_text(["Done", "Done"])
    expect(page.locator(".result video, .result img")).to_have_count(2)


def test_keyboard_alone_runs_a_model(page: Page) -> None:
    page.goto("/")
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    press_until(page, page.get_by_role("link", name="Kling 2", exact=True))
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/models/kling-2$"))
    press_until(page, page.locator("#prompt"))
    page.keyboard.type("No mouse was here")
    press_until(page, page.locator("[name=aspect_ratio]:checked"))
    page.keyboard.press("ArrowRight")
    assert page.locator("[name=aspect_ratio]:checked").input_value() == "9:16"
    press_until(page, page.get_by_role("button", name="Run", exact=True))
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/jobs/[a-z0-9]+$"))
    expect(page.locator("dl.params")).to_contain_text("9:16")


def press_until(page: Page, goal: Locator) -> None:
    """Press Tab until an element has the focus."""
    for _ in range(80):
        page.keyboard.press("Tab")
        if goal.evaluate("goal => goal === document.activeElement"):
            return
    pytest.fail("Tab does not come to it")


def test_dropped_spec_appears_and_runs(page: Page, specs: Path) -> None:
    page.goto("/platform")
    text = Path(__file__).parents[1].joinpath("golden/core/specs/plain.yaml").read_text("utf-8")
    (specs / "dropped-9.yaml").write_text(text.replace("slug: plain", "slug: dropped-9"), "utf-8")
    (specs / "broken.yaml").write_text("slug: broken\ntitle: 3\n", "utf-8")
    expect(page.locator("#specs")).to_contain_text("dropped-9")
    expect(page.locator("#specs")).to_contain_text("broken.yaml")
    page.goto("/models/dropped-9")
    expect(page.get_by_role("button", name="Run", exact=True)).to_be_enabled()
    (specs / "dropped-9.yaml").unlink()
    (specs / "broken.yaml").unlink()
