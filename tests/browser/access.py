"""What axe-core finds on a notebook's page that is the course's own."""

from axe_playwright_python.sync_playwright import Axe

# Every cell is to be in the page: JupyterLab keeps only those in view.
WHOLE = """() => {
    const content = jupyterapp.shell.currentWidget.content;
    content.notebookConfig = { ...content.notebookConfig, windowingMode: 'none' };
}"""
ALL_THERE = """() => document.querySelectorAll('.jp-Notebook .jp-Cell').length
    === jupyterapp.shell.currentWidget.content.widgets.length"""
# Formulas are set a little later. Until then their source stands there, which can be wider than the page.
SET = """async () => {
    const count = () => document.querySelectorAll('mjx-container').length;
    let before = -1;
    while (count() !== before) {
        before = count();
        await new Promise(done => setTimeout(done, 700));
    }
}"""
# A formula at the end of a line can be set a pixel wider than its cell, which then scrolls: MathJax rounds.
SCROLLS = "scrollable-region-focusable"
OVER = "target => { const e = document.querySelector(target); return e.scrollWidth - e.clientWidth; }"
# JupyterLab's and Notebook 7's own, rule by rule: an editor has no name, the list of cells holds what a feed may not, and
# the button that folds a section says nothing.
THEIRS = {
    "aria-input-field-name": 'class="cm-content"',
    "aria-required-children": 'class="jp-WindowedPanel-viewport',
    "button-name": "jp-collapseHeadingButton",
}


def what_axe_finds(notebook) -> list[str]:
    """A line for each element of the open notebook that breaks a rule, but for those that the program itself brings."""
    page = notebook.page
    page.evaluate(WHOLE)
    page.wait_for_function(ALL_THERE)
    page.evaluate(SET)
    place = {"include": [".jp-Notebook"]}
    found = [
        (rule["id"], node["html"])
        for rule in Axe().run(page, place).response["violations"]
        for node in rule["nodes"]
        if not (rule["id"] == SCROLLS and page.evaluate(OVER, node["target"][0]) <= 2)
    ]
    return [
        f"{rule}: {html}"
        for rule, html in found
        if not (rule in THEIRS and THEIRS[rule] in html.split(">")[0])
    ]


def pictures(notebook) -> list[str]:
    """The alternative text of each picture in an output, in their order; "" where one has none."""
    return notebook.page.locator(".jp-OutputArea .jp-RenderedImage img").evaluate_all(
        "images => images.map(image => image.alt)"
    )
