"""Explorers in a real browser: all of them on a page without a kernel, one in JupyterLab and in Notebook 7."""

import base64
import functools
import http.server
import io
import json
import random
import shutil
import threading
import urllib.request

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image, ImageFilter
from playwright.sync_api import expect

from gradutils.explorers import tables
from gradutils.explorers.descent import run_quadratic
from gradutils.explorers.packing import pack, unpack
from tests.browser.conftest import ROOT, SCREENSHOTS
from tests.browser.test_jupyterlab import Page
from tools.explorers import NAMES, explorer_of

pytestmark = pytest.mark.timeout(300)
POSITIONS = 20  # of each explorer, drawn at random
FRAME = 1000 / 60  # ms

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Explorers</title>
<link rel="icon" href="data:,"><style>:root { color-scheme: light dark } body { font-family: sans-serif; margin: 12px }</style>
<main><h1>Explorers</h1></main>
<script type="module">
import { mountUrl } from "./figure.js";
window.views = {};
window.ms = {};
for (const name of NAMES) {
  const place = document.createElement("div");
  place.id = name;
  document.querySelector("main").append(place);
  const started = performance.now();
  views[name] = await mountUrl(place, name + ".bin");
  ms[name] = performance.now() - started;
}
window.ready = true;
</script></html>"""
# What is shown at each of the positions, and the first pictures.
SHOW = """async ([name, all, pictures]) => {
    const place = document.getElementById(name), canvas = place.querySelector("canvas"), frame = () => new Promise(requestAnimationFrame);
    const shown = [];
    for (const at of all) {
        views[name].show(at);
        await frame();
        await frame();
        const picture = shown.length < pictures ? canvas.toDataURL() : null;
        const labels = [...place.querySelectorAll("output")].map(output => output.textContent);
        shown.push([place.querySelector("[role=status]").textContent, canvas.getAttribute("aria-label"), labels, picture]);
    }
    return shown;
}"""
# Times between frames, in ms, until `window.enough`.
WATCH = """() => {
    window.frames = [];
    let before;
    requestAnimationFrame(function next(now) {
        if (before) window.frames.push(now - before);
        before = now;
        if (!window.enough) requestAnimationFrame(next);
    });
}"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """A served file is no news."""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The address of a page with all explorers, as any web server would serve it."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copy(ROOT / "gradutils" / "explorers" / "figure.js", folder)
    for name in NAMES:
        (folder / f"{name}.bin").write_bytes(tables.stored(name))
    (folder / "index.html").write_text(PAGE.replace("NAMES", json.dumps(NAMES)))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


def opened(browser, site, width=800, theme="light"):
    page = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme).new_page()
    page.on("pageerror", lambda error: pytest.fail(str(error)))
    page.goto(site)
    page.wait_for_function("window.ready", timeout=60_000)
    return page


@pytest.fixture(scope="module")
def living(browser, site):
    page = opened(browser, site)
    yield page
    page.context.close()


def blurred(png):
    picture = Image.open(io.BytesIO(png)).convert("RGB").filter(ImageFilter.GaussianBlur(2))
    return np.asarray(picture).astype(int)


def differing(one, other):
    """The share of pixels that differ by more than 48 of 255 after a blur, at the best of nine shifts by a pixel at most."""
    one, other = blurred(one), blurred(other)
    inner = one[1:-1, 1:-1]
    shifts = [
        other[1 + down : other.shape[0] - 1 + down, 1 + right : other.shape[1] - 1 + right]
        for down in (-1, 0, 1)
        for right in (-1, 0, 1)
    ]
    return min(float((np.abs(inner - shifted).max(2) > 48).mean()) for shifted in shifts)


@pytest.mark.parametrize("name", NAMES)
def test_a_page_without_a_kernel_shows_what_python_says_and_draws(living, name):
    explorer, (_, rows) = explorer_of(name), unpack(tables.stored(name))
    positions = explorer.positions()
    chosen = random.Random(name).sample(range(len(rows)), min(POSITIONS, len(rows)))
    shown = living.evaluate(SHOW, [name, [positions[k] for k in chosen], 2])
    for k, (sentence, described, labels, picture) in zip(chosen, shown, strict=True):
        assert sentence == described == rows[k].sentence
        ranges = [(s, p) for s, p in zip(explorer.sliders.values(), positions[k]) if s.kind == "range"]  # noqa: B905
        assert labels == [slider.labels[position] for slider, position in ranges]
        if picture:
            explorer.scene.figure.set(explorer.scene.compute(**explorer._values(positions[k])).artists)
            drawn = base64.b64decode(picture.split(",")[1])
            assert differing(explorer.scene.figure.png(), drawn) < 0.01


def test_a_slider_that_is_dragged_draws_a_frame_in_a_sixtieth_of_a_second(living):
    slider = living.locator("#momentum input[type=range]").first
    slider.scroll_into_view_if_needed()
    box, said, medians = slider.bounding_box(), living.locator("#momentum [role=status]"), []
    while len(medians) < 3 and (not medians or min(medians) > FRAME + 0.1):  # the clock has tenths
        before = said.inner_text()
        living.evaluate("window.enough = false")
        living.evaluate(WATCH)
        living.mouse.move(box["x"] + 10, box["y"] + box["height"] / 2)
        living.mouse.down()
        living.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + box["height"] / 2, steps=120)
        living.mouse.up()
        living.evaluate("window.enough = true")
        medians.append(float(np.median(living.evaluate("window.frames"))))
        assert said.inner_text() != before
    assert min(medians) <= FRAME + 0.1


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_narrow_page_has_names_for_all_and_keys_move_it(browser, site, theme):
    page = opened(browser, site, 390, theme)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    found = Axe().run(page).response["violations"]
    assert not found, [(each["id"], [node["html"] for node in each["nodes"]]) for each in found]
    slider, said = page.get_by_label("steep curvature"), page.locator("#learning_rate [role=status]")
    slider.focus()
    before = said.inner_text()
    page.keyboard.press("ArrowLeft")
    expect(said).not_to_have_text(before)
    expect(slider).to_be_focused()
    page.get_by_label("Nesterov").focus()
    page.keyboard.press(" ")
    expect(page.locator("#momentum [role=status]")).to_contain_text("Nesterov, beta")
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"explorers-{theme}.png", full_page=True)
    page.context.close()


# A row is taken while the slider stands elsewhere, and then the slider is moved there: what was said each time.
LATE = """async ([bytes, at]) => {
    const { mount } = await import("./figure.js"), frame = () => new Promise(requestAnimationFrame);
    const place = document.body.appendChild(document.createElement("div")), heard = [];
    const read = text => Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
    const view = await mount(place, await (await fetch("learning_rate.bin")).arrayBuffer(), { live: true });
    const say = async () => { await frame(); await frame(); heard.push(place.querySelector("[role=status]").textContent); };
    await say();
    await view.take(read(bytes));
    await say();
    view.show(at);
    await say();
    const kept = view.has(at);
    view.remove();
    return [...heard, kept, place.childElementCount];
}"""


def test_a_row_that_comes_late_is_not_drawn_where_it_does_not_belong(living):
    explorer = explorer_of("learning_rate")
    first = explorer.text
    explorer.move(lr=0.95)
    packed = pack([explorer.row(explorer.at)], {"at": explorer.at}, {})
    heard = living.evaluate(LATE, [base64.b64encode(packed).decode(), explorer.at])
    assert heard == [first, first, explorer.text, True, 0]
    assert "lr * curvature is 3.80" in explorer.text


# With a kernel -----------------------------------------------------------------------------------------------------------
SLOW = """const send = WebSocket.prototype.send;
WebSocket.prototype.send = function (data) { window.slow ? setTimeout(() => send.call(this, data), window.slow) : send.call(this, data); };"""
# Every sentence that is seen after the next move, with the ms since.
HEAR = """place => {
    window.heard = [];
    const said = place.querySelector("[role=status]");
    place.addEventListener("input", () => {
        const started = performance.now(), before = said.textContent;
        new MutationObserver(() => window.heard.push([performance.now() - started, said.textContent]))
            .observe(said, { childList: true, characterData: true, subtree: true });
    }, { once: true, capture: true });
}"""
CELL = "explorers.explore_learning_rate("


@pytest.fixture(params=["JupyterLab", "Notebook 7"])
def explorer(request, lab, course, browser):
    """The explorer of lesson 00 as JupyterLab and as Notebook 7 show it, run."""
    if lab["theme"] == "Dark":
        pytest.skip("what it looks like in the dark is seen in the lessons")
    page = browser.new_context(viewport={"width": 1280, "height": 1000}).new_page()
    page.add_init_script(SLOW)
    shutil.copy(ROOT / "lessons" / "00_start_here.ipynb", course / "lessons" / "moved.ipynb")
    if request.param == "JupyterLab":
        notebook = Page(page, lab, "moved")
        notebook.run_all()
        cell = notebook.cell(CELL)
    else:
        page.goto(f"{lab['address']}/notebooks/lessons/moved.ipynb?token={lab['token']}")
        page.locator(".jp-Cell").first.click(timeout=60_000)
        for item in ("Run", "Run All Cells"):
            page.get_by_role("menuitem", name=item, exact=True).click()
        cell = page.locator(".jp-Cell", has_text=CELL)
    cell = cell.locator(".gradutils-explorer")
    cell.scroll_into_view_if_needed(timeout=60_000)
    yield cell, request.param
    page.context.close()


def shut_down(lab):
    """Every kernel, as a person would who closes it elsewhere."""

    def ask(path, method="GET"):
        request = urllib.request.Request(
            f"{lab['address']}/api/{path}", method=method, headers={"Authorization": f"token {lab['token']}"}
        )
        return urllib.request.urlopen(request).read()

    for kernel in json.loads(ask("kernels")):
        ask(f"kernels/{kernel['id']}", "DELETE")


def test_an_explorer_moves_by_keys_and_mouse_over_a_slow_line_and_without_its_kernel(explorer, lab):
    cell, where = explorer
    page, said = cell.page, cell.locator("[role=status]")
    lr, steep = (cell.get_by_role("slider", name=name) for name in ("learning rate", "steep curvature"))
    picture = lambda: cell.locator("canvas").evaluate("canvas => canvas.toDataURL()")  # noqa: E731
    exact = lambda lr, steep: run_quadratic(lr, steep, 0.5).sentence  # noqa: E731
    expect(said).to_have_text(exact(0.4, 4))

    # A key moves by one position, which is no row of the table: Python is asked, and the picture follows.
    before = picture()
    lr.focus()
    page.keyboard.press("ArrowRight")
    expect(said).to_have_text(exact(0.41, 4))
    expect(lr).to_be_focused()
    assert picture() != before
    steep.click(position={"x": 4, "y": 4})
    expect(said).to_contain_text("lr * curvature is 0.41 in the steep direction")
    expect(steep).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(said).to_have_text(exact(0.41, 1.1))
    page.keyboard.press("End")
    expect(said).to_have_text(exact(0.41, 4))

    # Over a slow line the nearest row is drawn at once, the exact one when it has come.
    lr.focus()
    page.keyboard.press("End")
    expect(said).to_have_text(exact(1.2, 4))
    page.evaluate("window.slow = 200")
    cell.evaluate(HEAR)
    page.keyboard.press("ArrowLeft")
    expect(said).to_have_text(exact(1.19, 4))
    heard = page.evaluate("window.heard")
    assert [sentence for _, sentence in heard] == [exact(1.18, 4), exact(1.19, 4)]
    assert heard[0][0] < 6 * FRAME  # 1 where nothing else runs
    assert heard[1][0] > 200
    page.evaluate("window.slow = 0")

    shut_down(lab)
    page.keyboard.press("Home")
    expect(said).to_have_text(exact(0, 4))
    before = picture()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    expect(said).to_have_text(exact(0.02, 4))  # 0.03 is no row: the nearest one
    expect(lr).to_be_focused()
    assert picture() != before
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"explorer-{where.split()[0].lower()}.png")
