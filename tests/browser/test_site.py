"""The site in a real browser, built once: every page is looked at, and whatever can be moved there is moved."""

import functools
import re
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urldefrag, urljoin

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.browser.conftest import ROOT, SCREENSHOTS
from tools import site

pytestmark = pytest.mark.timeout(600)
LESSON = "lessons/01_gradient_descent.html"
MEGABYTE = 1_000_000


class Quiet(SimpleHTTPRequestHandler):
    extensions_map = SimpleHTTPRequestHandler.extensions_map | {
        ".js": "text/javascript"
    }  # Windows may not know it

    def log_message(self, *_arguments):
        """Say nothing of each file."""


@pytest.fixture(scope="session")
def folder(tmp_path_factory, worker_id):
    """The site as `make site` builds it; whoever comes first builds it, and the others wait."""
    home = tmp_path_factory.getbasetemp()
    home = home if worker_id == "master" else home.parent
    try:
        (home / "site-lock").mkdir()
    except FileExistsError:
        for _ in range(600):
            if (home / "site-said").exists():
                break
            time.sleep(0.5)
        return home / "site"
    command = [sys.executable, "-m", "tools.site", str(home / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    (home / "site-said.new").write_text(done.stdout + done.stderr)
    (home / "site-said.new").rename(home / "site-said")
    return home / "site"


@pytest.fixture(scope="session")
def address(folder):
    said = (folder.parent / "site-said").read_text()
    assert (folder / "index.html").exists(), said
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


@pytest.fixture(scope="session")
def names(folder, address):
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*.html") if "_static" not in path.parts
    )


@contextmanager
def opened(browser, address, width=1280, **options):
    """A page that may ask for nothing elsewhere, and may not complain."""
    context = browser.new_context(viewport={"width": width, "height": 900}, **options)
    page, complaints, asked = context.new_page(), [], []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
    page.on("response", lambda got: complaints.append(got.url) if got.status >= 400 else None)
    page.on("request", lambda request: asked.append(request.url))
    page.asked = asked
    try:
        yield page
        assert complaints == []
        assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []
    finally:
        context.close()


def faults(page, rules):
    """What axe finds, by rule."""
    options = {
        "resultTypes": ["violations"],
        "preload": False,
    } | rules  # it would look for style sheets where none are
    found = Axe().run(page, options=options).response["violations"]
    seen = {
        one["id"]: [node["html"][:120] for node in one["nodes"] if not excused(one["id"], node)]
        for one in found
    }
    return {rule: nodes for rule, nodes in seen.items() if nodes}


def excused(rule, node):
    """A head of a column that is a formula counts as empty, because axe reads no MathML."""
    return rule == "empty-table-header" and "<math" in node["html"]


# All pages -------------------------------------------------------------------------------------------------------------
def test_every_page_is_whole_at_390_pixels(browser, address, names):
    """All rules of axe but that of contrast, which takes most of its time: see below."""
    assert len(names) > len(site.lessons()) + 8
    with opened(browser, address, width=390) as page:
        for name in names:
            page.goto(address + name)
            assert page.evaluate("document.documentElement.scrollWidth") == 390, name
            assert faults(page, {"rules": {"color-contrast": {"enabled": False}}}) == {}, name
            assert page.locator("math merror").count() == 0, name


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_can_be_read(browser, address, scheme):
    """On pages that hold each thing that has a colour: code, cards, tables, questions, equations, verdicts."""
    with opened(browser, address, color_scheme=scheme) as page:
        for name in ("index.html", "lessons/00_start_here.html", "lessons/13_verdicts.html", "setup.html"):
            page.goto(address + name)
            page.evaluate("document.querySelectorAll('details').forEach(fold => fold.open = true)")
            assert faults(page, {"runOnly": ["color-contrast"]}) == {}, name
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        red = int(re.search(r"\d+", ground)[0])
        assert red > 200 if scheme == "light" else red < 60


class Links(HTMLParser):
    """What a page links to and shows, the names of its places, and the alternative texts of its pictures."""

    def __init__(self, text):
        super().__init__()
        self.targets, self.places, self.alts = [], set(), []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.targets += [attributes[name] for name in ("href", "src") if attributes.get(name)]
        self.places.add(attributes.get("id"))
        if tag == "img":
            self.alts.append(attributes.get("alt", ""))


def test_links_lead_somewhere_and_pictures_are_described(folder, names):
    pages = {name: Links((folder / name).read_text(encoding="utf-8")) for name in names}
    for name, links in pages.items():
        for target in links.targets:
            if target.startswith(("http", "mailto:", "data:")):
                continue
            path, place = urldefrag(urljoin(f"/{name}", target.partition("?")[0]))
            path = unquote(path).lstrip("/")
            assert (folder / path).exists(), (name, target)
            if place and path in pages and not name.startswith(("genindex", "search")):
                assert unquote(place) in pages[path].places, (name, target)
        assert all(len(alt.split()) > 4 for alt in links.alts), name


def test_it_is_small_and_soon_built(folder, names):
    files = {path: path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    assert sum(files.values()) < 25 * MEGABYTE
    for name in names:
        pictures = set(re.findall(r'src="\.\./(figures/.*?)"', (folder / name).read_text(encoding="utf-8")))
        assert files[folder / name] + sum(files[folder / picture] for picture in pictures) < 2 * MEGABYTE, (
            name
        )
    said = (folder.parent / "site-said").read_text()
    assert int(re.search(r"\((\d+) s of them computing\)", said)[1]) < 60, said


# What a reader does ----------------------------------------------------------------------------------------------------
def test_a_prediction_is_made_before_its_answer_is_seen(browser, address):
    with opened(browser, address) as page:
        page.goto(address + LESSON)
        assert "Measured:" not in page.locator("article").inner_text()
        answer = page.locator("[id='measured-01.a']")
        page.get_by_label("it falls, a little faster than with 0.45").check()
        expect(answer).to_have_attribute("open", "")
        lines = answer.locator("p").all_inner_texts()
        assert (
            lines[0]
            == "✗ Measured: it grows without bound. Predicted: it falls, a little faster than with 0.45."
        )
        assert lines[1].startswith("The last loss is")
        assert lines[2].startswith("Not “it falls, a little faster")
        quiz = page.locator("[data-settled='measured-01.a']")
        quiz.get_by_role("radio").first.focus()
        page.keyboard.press("ArrowDown")
        quiz.get_by_label("it grows without bound").check()
        assert answer.locator("p").first.inner_text() == "✓ Measured: it grows without bound. As predicted."
        quiz.get_by_role("link", name="what was measured").click()
        expect(answer).to_be_in_viewport()


def test_recall_says_why_at_once(browser, address):
    with opened(browser, address, width=390) as page:
        page.goto(f"{address}lessons/02_backpropagation.html")
        first = page.locator(".quiz").first
        answer = page.locator("details.measured").first
        assert not answer.locator(".head").is_visible()
        right = int(answer.get_attribute("data-right"))
        first.locator(f"input[value='{(right + 1) % 3}']").check()
        expect(first.get_by_role("status")).to_contain_text("Not this one")
        assert answer.locator(".head").inner_text().startswith("✗ Right is “")
        first.locator(f"input[value='{right}']").check()
        expect(first.get_by_role("status")).to_contain_text("Right")
        assert answer.locator(".head").inner_text().startswith("✓ Right is “")


def test_an_exercise_can_be_tried_before_its_answer_is_seen(browser, address):
    with opened(browser, address) as page:
        page.goto(address + LESSON)
        article = page.locator("article")
        assert "def step(x, gradient, lr):\n    ..." in article.inner_text()
        assert "return x - lr * gradient" not in article.inner_text()
        page.get_by_text("Show one answer").first.click()
        assert "return x - lr * gradient" in article.inner_text()
        assert "01.1 correct" not in article.inner_text()


def test_an_experiment_is_folded_with_its_table_in_sight(browser, address):
    with opened(browser, address) as page:
        page.goto(address + LESSON)
        assert "it diverges" in page.locator("table", has_text="lr * curvature").first.inner_text()
        source = page.get_by_text("rises = [int(")
        assert not source.is_visible()
        page.get_by_text("Six rates in each of the ten valleys").first.click()
        assert source.is_visible()


def test_search_finds(browser, address):
    with opened(browser, address) as page:
        page.goto(address)
        page.keyboard.press("Control+k")
        page.get_by_placeholder("Search").locator("visible=true").first.fill("condition number")
        page.keyboard.press("Enter")
        expect(page.locator("#search-results a", has_text="Gradient descent").first).to_be_visible(
            timeout=30_000
        )


def test_without_scripts_pictures_stand_there_and_folds_open(browser, address):
    with opened(browser, address, java_script_enabled=False) as page:
        page.goto(address + LESSON)
        assert page.locator(".explorer img, img.figure").first.is_visible()
        answer = page.locator("[id='measured-01.a']")
        answer.locator("summary").click()
        assert answer.locator(".head").is_visible()


def test_an_explorer_is_fetched_when_it_nears_the_view_and_moves_by_keys(browser, address):
    with opened(browser, address) as page:
        page.goto(address + LESSON)
        page.wait_for_load_state("networkidle")
        figure = page.locator(".explorer[data-explorer=learning_rate]")
        assert figure.locator("img").count() == 1
        assert not [url for url in page.asked if url.endswith(".bin")]
        figure.scroll_into_view_if_needed()
        slider = figure.get_by_role("slider", name="learning rate")
        expect(slider).to_be_visible()
        said = figure.locator("p[role=status]")
        before = said.inner_text()
        slider.focus()
        page.keyboard.press("ArrowRight")
        expect(said).not_to_have_text(before)
        assert [url.rpartition("/")[2] for url in page.asked if url.endswith(".bin")] == ["learning_rate.bin"]
        SCREENSHOTS.mkdir(exist_ok=True)
        page.screenshot(path=SCREENSHOTS / "site-explorer.png")


def test_every_explorer_wakes(browser, address):
    woken = set()
    with opened(browser, address) as page:
        for name in site.lessons():
            page.goto(f"{address}lessons/{name}.html")
            for figure in page.locator(".explorer").all():
                figure.scroll_into_view_if_needed()
                expect(figure.locator("canvas")).to_have_attribute("aria-label", re.compile(r"\w+ \w+ \w+"))
                expect(figure.locator("img")).to_have_count(0)
                woken.add(figure.get_attribute("data-explorer"))
    assert woken == site.explorers()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_front_page_moves_and_has_no_fault_with_its_explorer(browser, address, scheme):
    with opened(browser, address, width=390, color_scheme=scheme) as page:
        page.goto(address)
        expect(page.get_by_role("slider", name="learning rate")).to_be_visible()
        assert faults(page, {}) == {}
        SCREENSHOTS.mkdir(exist_ok=True)
        page.screenshot(path=SCREENSHOTS / f"site-front-{scheme}.png")
