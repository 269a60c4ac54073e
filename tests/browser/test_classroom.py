"""The class page in a real browser: a class with hostile files among them, light, dark and on a phone."""

from io import BytesIO

from axe_playwright_python.sync_playwright import Axe
from PIL import Image

from gradutils.course.classroom.__main__ import main
from tests.class_of_thirty import NAMES, make_class
from tests.test_classroom import hostile_class


def test_a_browser_shows_the_class_in_both_themes_and_asks_for_nothing(browser, tmp_path):
    folder, out = hostile_class(tmp_path / "class"), tmp_path / "class.html"
    make_class(folder, names=NAMES[:8])
    assert main([str(folder), "--out", str(out)]) == 0
    for theme, width in (("light", 1200), ("dark", 390)):
        context = browser.new_context(color_scheme=theme, viewport={"width": width, "height": 800})
        page, seen = context.new_page(), []
        page.on("request", lambda request, seen=seen: seen.append(request.url))
        page.on("console", lambda message, seen=seen: seen.append(message.text))
        page.on("dialog", lambda dialog, seen=seen: seen.append(dialog.message))
        page.goto(out.as_uri())
        assert page.locator("section").count() >= 9
        assert page.evaluate("document.documentElement.scrollWidth") == width  # tables scroll on their own
        assert seen == [out.as_uri()]
        assert [found["id"] for found in Axe().run(page).response["violations"]] == []
        ground = Image.open(BytesIO(page.screenshot())).convert("L").getpixel((2, 2))
        assert ground > 200 if theme == "light" else ground < 60
        page.emulate_media(media="print")
        printed = Image.open(BytesIO(page.screenshot())).convert("L").getpixel((2, 2))
        assert printed > 200  # whatever the theme of the screen
        context.close()
