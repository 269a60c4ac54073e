"""The course in Notebook 7: a lesson runs, is predicted by mouse and by keys, and answered."""

import pytest
from playwright.sync_api import expect

from tests.browser.access import pictures, what_axe_finds
from tests.browser.test_jupyterlab import RIGHT, WRONG, Page, events

pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("untouched")]


def test_a_lesson_runs_is_predicted_and_answered_in_notebook_7(notebook7, page):
    notebook = Page(page, notebook7, "01_gradient_descent")
    notebook.run_all()
    for cell in notebook.cells():
        assert cell["count"], cell["source"]
        for output in cell["outputs"]:
            assert output["output_type"] != "error", (cell["source"], output)
            assert output.get("name") != "stderr", (cell["source"], output)
    predict_by_mouse_and_by_keys(notebook)
    said = notebook.answer("def step(", WRONG)
    assert "01.1 not yet" in said
    assert "This walks uphill" in said
    notebook.picture("wrong")
    assert "01.1 correct" in notebook.answer("def step(", RIGHT)
    assert ("passed", "01.1") in events(notebook7)
    assert what_axe_finds(notebook) == []
    assert all(len(text.split()) >= 5 for text in pictures(notebook))


def predict_by_mouse_and_by_keys(notebook):
    """The first question gets another answer each time, and the log holds both."""
    cell, page = notebook.cell("predict("), notebook.page
    options = cell.locator("input[type=radio]")
    texts = [text.strip() for text in cell.locator(".widget-radio-box label").all_inner_texts()]
    options.nth(0).click()
    expect(cell.locator(".jp-OutputArea")).to_contain_text(f"Your prediction: {texts[0]}")
    assert events(notebook.lab)[-1] == ("chosen", "01.a", texts[0])
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    expect(cell.locator(".jp-OutputArea")).to_contain_text(f"Your prediction: {texts[1]}")
    assert events(notebook.lab)[-1] == ("chosen", "01.a", texts[1])
    notebook.picture("predicted")
