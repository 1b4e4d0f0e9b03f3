"""The checks of `check_demo.py`: each does something at the page and says what came of it."""

import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from demo_browser import PATIENCE, PHONE, Check, opened, seen, set_yaw, yaw_of
from hostile_uploads import hostile_files

TURNS = 10
IMAGE = "#view img"


def drive(
    browser: Any, address: str, check: Check, reached: list[str], *, lift: bool, folder: Path
) -> None:
    """Everything that needs the browser."""
    page = opened(browser, address, reached)
    page.screenshot(path=check.out / "desktop_empty.png", full_page=True)
    began = time.perf_counter()
    page.click("#example-1")
    seen(page, "WarpGAN")
    check.note("first view of an example, s", round(time.perf_counter() - began, 2))
    turns = time_turns(page)
    check.note("further views by key, s, median", round(statistics.median(turns), 3))
    check.note("further views by key, s, largest", round(max(turns), 3))
    check_drag(page, check)
    check_methods(page, check)
    page.screenshot(path=check.out / "desktop_example.png", full_page=True)
    check_adjusting(page, check)
    check_orbit_and_files(page, check)
    page.screenshot(path=check.out / "desktop_files.png", full_page=True)
    if lift:
        began = time.perf_counter()
        page.click("#make-lift")
        page.wait_for_timeout(12_000)
        page.screenshot(path=check.out / "desktop_lifting.png", full_page=True)
        page.set_default_timeout(600_000)
        seen(page, "Lifted")
        check.note("lift, s", round(time.perf_counter() - began, 1))
        page.set_default_timeout(PATIENCE)
        page.click("#make-files")
        page.wait_for_function("document.querySelectorAll('#links a').length >= 8")
        page.screenshot(path=check.out / "desktop_lifted.png", full_page=True)
    check_upload(page, check, folder)
    check_two_sessions(browser, address, check, reached, folder=folder)
    check_hostile(page, check, folder)
    page.context.close()
    check_keyboard(browser, address, check, reached)
    check_phone(browser, address, check, reached)


def time_turns(page: Any) -> list[float]:
    """Seconds from a key to the new view, one view after another."""
    page.focus("#view")
    seconds = []
    for _ in range(TURNS):
        want = yaw_of(page) - 1
        began = time.perf_counter()
        page.keyboard.press("Shift+ArrowLeft")
        seen(page, f"yaw {want:+d},")
        seconds.append(time.perf_counter() - began)
    return seconds


def check_drag(page: Any, check: Check) -> None:
    """Drag the head to the right: the camera goes left, the view follows."""
    box = page.locator(IMAGE).bounding_box()
    before, x, y = yaw_of(page), box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    for step in range(1, 11):
        page.mouse.move(x + 8 * step, y + 2 * step)
    page.mouse.up()
    began = time.perf_counter()
    after = yaw_of(page)
    seen(page, f"yaw {after:+d},")
    check.note("drag: view after the last move, s", round(time.perf_counter() - began, 2))
    check.require("drag turns the head", after < before - 5, (before, after))


def check_methods(page: Any, check: Check) -> None:
    """Every method shows its own picture."""
    pictures = {}
    for title in ("Inversion", "Warp", "Fill", "WarpGAN"):
        began = time.perf_counter()
        page.get_by_role("radio", name=title, exact=True).check()
        seen(page, f"{title}, yaw")
        check.note(f"method {title}, s", round(time.perf_counter() - began, 3))
        pictures[title] = page.get_attribute(IMAGE, "src")
    check.require("the four methods differ", len(set(pictures.values())) == 4)


def check_adjusting(page: Any, check: Check) -> None:
    """Zoom and turn the crop, and back."""
    before = page.get_attribute("#photos img", "src")
    view = page.get_attribute(IMAGE, "src")
    page.get_by_text("Adjust crop and camera").first.click()
    roll = page.locator("#adjust-roll input[type=range]")
    roll.focus()
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    page.wait_for_function(
        "b => document.querySelector('#photos img')?.src !== b", arg=before, timeout=PATIENCE
    )
    page.wait_for_timeout(1500)
    page.screenshot(path=check.out / "desktop_adjusted.png", full_page=True)
    page.get_by_role("button", name="Back to what was found").click()
    page.wait_for_function("b => document.querySelector('#photos img')?.src === b", arg=before)
    check.require(
        "adjusting and back gives the same view", page.get_attribute(IMAGE, "src") == view
    )
    page.get_by_text("Adjust crop and camera").first.click()


def check_orbit_and_files(page: Any, check: Check) -> None:
    """Make the video and the files, and download all of them."""
    began = time.perf_counter()
    page.click("#make-orbit")
    page.wait_for_function("document.querySelector('#video video')?.readyState >= 2")
    check.note("orbit video plays after, s", round(time.perf_counter() - began, 1))
    began = time.perf_counter()
    page.click("#make-files")
    page.wait_for_function("document.querySelectorAll('#links a').length >= 5")
    check.note("files are offered after, s", round(time.perf_counter() - began, 1))
    sizes = {}
    for link in page.locator("#links a").all():
        with page.expect_download() as waiting:
            link.click()
        place = check.out / waiting.value.suggested_filename
        waiting.value.save_as(place)
        sizes[place.name] = place.stat().st_size
    check.note("downloads, bytes", sizes)
    check.require("every download holds something", min(sizes.values()) > 100 and len(sizes) >= 5)


def check_upload(page: Any, check: Check, folder: Path) -> None:
    """Upload a photograph: scikit-image's astronaut."""
    from skimage import data, io

    photo = check.out / "astronaut.jpg"
    io.imsave(photo, data.astronaut(), check_contrast=False)
    began = time.perf_counter()
    page.set_input_files("#upload input[type=file]", photo)
    page.wait_for_function("document.querySelector('#said')?.textContent.includes('your photo')")
    check.note("first view of the first upload, s", round(time.perf_counter() - began, 2))
    check.note("what is said of it", page.inner_text("#said .said").strip())
    page.wait_for_timeout(500)
    page.screenshot(path=check.out / "desktop_upload.png", full_page=True)
    left = [path for path in (folder / "uploads").rglob("*") if path.is_file()]
    check.require("the upload's file is gone", not left, left)


def check_two_sessions(
    browser: Any, address: str, check: Check, reached: list[str], *, folder: Path
) -> None:
    """Two people turn two heads at the same time; each sees what it would see alone."""
    pages = [opened(browser, address, reached) for _ in range(2)]
    alone: list[str] = []
    for number, page in enumerate(pages):
        page.click(f"#example-{number}")
        seen(page, "WarpGAN")
        set_yaw(page, 15)
        seen(page, "yaw +15,")
        alone.append(page.get_attribute(IMAGE, "src"))
    wrong = 0
    for turn in range(6):
        for number, page in enumerate(pages):
            page.evaluate(f"document.querySelector('#example-{(number + turn) % 2}').click()")
        for number, page in enumerate(pages):
            page.wait_for_function(
                "n => document.querySelector('#said').textContent.includes(`example ${n}`)",
                arg=(number + turn) % 2 + 1,
            )
        for page in pages:
            set_yaw(page, 15)
        for number, page in enumerate(pages):
            seen(page, "yaw +15,")
            wrong += page.get_attribute(IMAGE, "src") != alone[(number + turn) % 2]
    check.require("two sessions at once see their own pictures, 12 of 12", wrong == 0, wrong)
    pages[0].click("#make-files")
    pages[0].wait_for_function("document.querySelectorAll('#links a').length >= 4")
    link = pages[0].locator("#links a").first.get_attribute("href")
    key, _, name = link.removeprefix("files/").partition("/")
    answers = [
        pages[1].request.get(f"{address}/files/{word}").status
        for word in (f"{'0' * len(key)}/{name}", f"{key}/../uploads", f"{key}/%2e%2e%2fuploads")
    ]
    check.require("other addresses of files are not there", set(answers) == {404}, answers)
    there = (folder / key).is_dir()
    for page in pages:
        page.context.close()
    began = time.perf_counter()
    while (folder / key).exists() and time.perf_counter() - began < 90:
        time.sleep(0.2)
    gone = there and not (folder / key).exists()
    check.require("a closed tab's files go", gone, list(folder.iterdir()))
    check.note("after, s", round(time.perf_counter() - began, 1))


def check_hostile(page: Any, check: Check, folder: Path) -> None:
    """Nothing of these opens, stays, or stops the server."""
    place = Path(tempfile.mkdtemp(prefix="check_demo_hostile_"))
    files = hostile_files() | {"too_large.png": os.urandom(6_000_000)}
    for name, content in files.items():
        (place / name).write_bytes(content)
        page.click("#example-0")
        page.wait_for_function("document.querySelector('#said')?.textContent.includes('example 1')")
        began = time.perf_counter()
        page.set_input_files("#upload input[type=file]", place / name)
        page.wait_for_function(
            "document.querySelector('#said .wrong') || document.querySelector('.toast-body')"
        )
        said = page.evaluate(
            "(document.querySelector('#said .wrong') || document.querySelector('.toast-body'))"
            ".innerText"
        )
        seconds = time.perf_counter() - began
        if name == "text.jpg":
            page.screenshot(path=check.out / "desktop_refused.png", full_page=True)
        check.note(f"hostile {name} ({len(content):,} bytes), {seconds:.2f} s", said.strip())
        page.evaluate("document.querySelectorAll('.toast-close').forEach(each => each.click())")
        page.wait_for_timeout(400)
    left = [path.name for path in (folder / "uploads").rglob("*") if path.is_file()]
    check.note("hostile files that still wait for the sweeper", left)
    began = time.perf_counter()
    page.click("#example-1")
    page.wait_for_function("document.querySelector('#said')?.textContent.includes('example 2')")
    check.note("an example afterwards, s", round(time.perf_counter() - began, 2))
    shutil.rmtree(place)


def check_keyboard(browser: Any, address: str, check: Check, reached: list[str]) -> None:
    """Open an example and turn it without a mouse."""
    page = opened(browser, address, reached)
    focused = "document.activeElement?.id || ''"
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate(focused) == "example-2":
            break
    page.keyboard.press("Enter")
    seen(page, "WarpGAN")
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate(focused) == "view":
            break
    before = yaw_of(page)
    page.keyboard.press("ArrowRight")
    seen(page, f"yaw {before + 5:+d},")
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement?.value === 'fill'"):
            break
    page.keyboard.press("Space")
    seen(page, "Fill, yaw")
    check.require("example, turn and method by keyboard alone", True)
    page.context.close()


def check_phone(browser: Any, address: str, check: Check, reached: list[str]) -> None:
    """At 390 px nothing is cut off, and a finger turns the head."""
    page = opened(browser, address, reached, phone=True)
    page.tap("#example-3")
    seen(page, "WarpGAN")
    wide = page.evaluate("document.documentElement.scrollWidth")
    check.require("phone: nothing is wider than the screen", wide <= PHONE["width"], wide)
    box = page.locator(IMAGE).bounding_box()
    before = yaw_of(page)
    touch = page.context.new_cdp_session(page)
    y = box["y"] + box["height"] / 2
    for kind, x in (("touchStart", 150), ("touchMove", 180), ("touchMove", 230)):
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    after = yaw_of(page)
    seen(page, f"yaw {after:+d},")
    check.require("phone: a finger turns the head", after < before - 5, (before, after))
    page.wait_for_timeout(800)
    page.screenshot(path=check.out / "phone_example.png", full_page=True)
    page.screenshot(path=check.out / "phone_screen.png")
    page.context.close()
