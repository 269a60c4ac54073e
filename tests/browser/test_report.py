"""The report of a run in a real browser, light and dark."""

from io import BytesIO

from PIL import Image

from gradutils.recorder.report import write_report
from tests.test_look import HOSTILE, renamed, train


def test_a_browser_shows_the_report_in_both_themes_and_asks_for_nothing(browser, tmp_path):
    path = write_report(renamed(train(), HOSTILE), tmp_path / "run.html", HOSTILE)
    grounds = {}
    for theme in ("light", "dark"):
        context = browser.new_context(color_scheme=theme, viewport={"width": 500, "height": 800})
        page, seen = context.new_page(), []
        page.on("request", lambda request, seen=seen: seen.append(request.url))
        page.on("console", lambda message, seen=seen: seen.append(message.text))
        page.on("dialog", lambda dialog, seen=seen: seen.append(dialog.message))
        page.goto(path.as_uri())
        assert page.title() == HOSTILE
        assert page.evaluate("document.images[0].naturalWidth") > 900
        assert page.evaluate("document.documentElement.scrollWidth") == 500  # tables scroll on their own
        assert [address for address in seen if not address.startswith("data:")] == [path.as_uri()]
        grounds[theme] = Image.open(BytesIO(page.screenshot())).convert("L").getpixel((2, 2))
        context.close()
    assert grounds["light"] > 200
    assert grounds["dark"] < 60
