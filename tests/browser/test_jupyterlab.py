"""The course as a learner meets it: JupyterLab in a real browser, untouched lessons, run, answered, moved."""

import json
import re
import time

import nbformat
import pytest
from playwright.sync_api import expect

from tests.browser.access import pictures, what_axe_finds
from tests.browser.conftest import ROOT, SCREENSHOTS
from tools.notebooks import make_pair

LESSONS = [path.stem for path in sorted((ROOT / "lessons").glob("*.ipynb"))]
pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("untouched")]

READY = "async () => (await jupyterapp.restored, true)"
IDLE = """() => {
    const panel = jupyterapp.shell.currentWidget;
    return panel?.sessionContext?.session?.kernel?.status === 'idle' && panel.content.widgets.length > 3;
}"""
OUTPUTS = """() => jupyterapp.shell.currentWidget.content.widgets.filter(cell => cell.model.type === 'code').map(cell => ({
    source: cell.model.sharedModel.source, count: cell.model.executionCount, outputs: cell.model.outputs.toJSON()}))"""
CLOSED = """() => jupyterapp.shell.currentWidget.content.widgets.flatMap((cell, k) => cell.inputHidden ? [k] : [])"""
HEIGHT = "() => document.querySelector('.jp-WindowedPanel-outer').scrollHeight"


class Page:
    """A notebook in the browser."""

    def __init__(self, page, lab, name, folder="lessons"):
        self.page, self.lab, self.name = page, lab, name
        page.goto(f"{lab['address']}/{lab['pages']}/{folder}/{name}.ipynb?token={lab['token']}&reset")
        page.wait_for_function("() => window.jupyterapp !== undefined", timeout=90_000)
        page.evaluate(READY)
        page.wait_for_function(IDLE, timeout=90_000)

    def run_all(self):
        self.page.evaluate("() => jupyterapp.commands.execute('notebook:run-all-cells')")
        self.page.wait_for_function(IDLE, timeout=180_000)

    def cells(self):
        return self.page.evaluate(OUTPUTS)

    def closed(self):
        """Which cells show no code, counted from 0."""
        return self.page.evaluate(CLOSED)

    def cell(self, text):
        """The cell with this source text, brought into view."""
        index = self.page.evaluate(
            "text => jupyterapp.shell.currentWidget.content.widgets.findIndex(c => c.model.sharedModel.source.includes(text))", text
        )  # fmt: skip
        assert index >= 0, text
        self.page.evaluate(
            "async index => { const n = jupyterapp.shell.currentWidget.content; n.activeCellIndex = index; await n.scrollToItem(index, 'smart'); }", index
        )  # fmt: skip
        cell = self.page.locator(f".jp-Cell[data-windowed-list-index='{index}']")
        cell.scroll_into_view_if_needed()
        return cell

    def answer(self, text, source, seconds=30):
        """Replace a cell's source as a person would, run it, and return the text of its output."""
        cell = self.cell(text)
        cell.locator(".cm-content").click()
        self.page.keyboard.press("Control+a")
        self.page.keyboard.insert_text(source)
        prompt = cell.locator(".jp-InputPrompt").first
        before = prompt.inner_text()
        self.page.keyboard.press("Control+Enter")
        # The kernel is idle before it has heard of the cell, too: what shows that it was run is its new number.
        expect(prompt).not_to_have_text(before, timeout=30_000)
        expect(prompt).to_have_text(re.compile(r"\[\d+\]"), timeout=1000 * seconds)
        self.page.wait_for_function(IDLE, timeout=30_000)
        return cell.locator(".jp-OutputArea").inner_text()

    def picture(self, suffix):
        SCREENSHOTS.mkdir(exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{self.name}-{self.lab['theme'].lower()}-{suffix}.png")

    def pictures_of_everything(self):
        """The whole notebook, in pages."""
        self.page.evaluate("() => { jupyterapp.shell.currentWidget.content.activeCellIndex = 0; }")
        page, top = 0, 0
        while top < self.page.evaluate(HEIGHT) - 200:  # cells are laid out as they come into view: it grows
            self.page.evaluate(
                "top => { document.querySelector('.jp-WindowedPanel-outer').scrollTop = top; }", top
            )
            time.sleep(0.3)  # pictures may still be decoding
            self.picture(f"{page:02d}")
            page, top = page + 1, top + 1100


def only_in_the_light(lab):
    if lab["theme"] == "Dark":
        pytest.skip("what it looks like in the dark is seen in other lessons")


IN_THE_DARK = ("00", "01", "09", "12")  # every kind of output, and a lesson of the newest form


EXPLORERS = {
    "00": ["learning_rate"],
    "01": ["momentum"],
    "02": ["jacobian"],
    "03": ["depth", "recurrent"],
    "04": ["activation"],
    "05": ["phase_diagram"],
    "06": ["cliff", "rate_and_threshold"],
    "07": ["edge", "schedule"],
    "08": ["residual"],
    "09": ["awake"],
    "10": ["softmax"],
    "11": ["precision"],
}


@pytest.mark.parametrize("name", LESSONS)
def test_an_untouched_lesson_runs_to_its_end_and_its_sliders_move(lab, page, name):
    if name[:2] not in IN_THE_DARK:
        only_in_the_light(lab)
    notebook = Page(page, lab, name)
    stored = nbformat.read(ROOT / "lessons" / f"{name}.ipynb", as_version=4)
    folded = [k for k, cell in enumerate(stored.cells) if cell.metadata.get("jupyter")]
    assert notebook.closed() == folded
    notebook.run_all()
    assert notebook.closed() == folded
    for cell in notebook.cells():
        assert cell["count"], cell["source"]
        for output in cell["outputs"]:
            assert output["output_type"] != "error", (cell["source"], output)
            assert output.get("name") != "stderr", (cell["source"], output)
    notebook.pictures_of_everything()
    text = page.evaluate("() => document.body.innerText")
    assert "Error displaying widget" not in text
    assert "Loading widget" not in text
    for explorer in EXPLORERS.get(name[:2], []):
        move_a_slider(notebook, f"explore_{explorer}")
    assert "\n".join(what_axe_finds(notebook)) == ""
    assert all(len(text.split()) >= 5 for text in pictures(notebook))


def move_a_slider(notebook, explorer):
    """Picture and sentence change with it, and the picture is no wider than it was drawn for."""
    cell, page = notebook.cell(f"explorers.{explorer}("), notebook.page
    said, canvas = cell.locator(".gradutils-explorer [role=status]"), cell.locator("canvas")
    slider = cell.locator("input[type=range]").first
    before = said.inner_text(), canvas.evaluate("canvas => canvas.toDataURL()")
    slider.focus()
    for _ in range(25):
        page.keyboard.press("ArrowRight")
    expect(said).not_to_have_text(before[0])
    expect(slider).to_be_focused()
    page.wait_for_function(IDLE)
    assert canvas.evaluate("canvas => canvas.toDataURL()") != before[1]
    assert canvas.evaluate("canvas => canvas.clientWidth") <= 704
    notebook.picture(f"slider-{explorer}")


FOLDS = """# %% [markdown]
# # Folds
#
# A number is squared. The code is behind the bar.

# %% tags=["experiment"]
squares = [number**2 for number in range(4)]
print("squared", *squares)

# %% [markdown]
# This one is shown.

# %%
print("the last is", squares[-1])

# %% tags=["reveal"]
print("because", 3 * 3, "is nine")
"""


@pytest.fixture
def folds(course, tmp_path):
    """The name of a lesson of three code cells, of which the second is open."""
    source = tmp_path / "42_folds.py"
    source.write_text(FOLDS)
    nbformat.write(make_pair(source)[1], course / "lessons" / "42_folds.ipynb")
    yield source.stem
    (course / "lessons" / "42_folds.ipynb").unlink()


def test_folded_cells_are_closed_run_closed_and_open_with_a_click(lab, page, folds):
    notebook = Page(page, lab, folds)
    assert notebook.closed() == [1, 4]
    cell = notebook.cell("squares = ")
    code, bar = cell.locator(".cm-content"), cell.locator(".jp-InputPlaceholder")
    expect(code).to_be_hidden()
    expect(bar).to_contain_text("squares = ")  # the first line of what it hides
    notebook.run_all()
    assert "squared 0 1 4 9" in cell.inner_text()
    assert "because 9 is nine" in notebook.cell("because").inner_text()
    assert notebook.closed() == [1, 4]
    expect(code).to_be_hidden()
    notebook.picture("closed")
    bar.click()
    expect(code).to_be_visible()
    expect(code).to_contain_text("number**2 for number in range(4)")
    assert notebook.closed() == [4]
    notebook.picture("opened")
    cell.locator(".jp-InputCollapser").click()
    expect(code).to_be_hidden()


WRONG = 'def step(x, gradient, lr):\n    return x + lr * gradient\n\n\nstep = check("01.1", step).function'
RIGHT = WRONG.replace("x + lr", "x - lr")
BROKEN = WRONG.replace("gradient\n\n", "gradeint\n\n")


def events(lab):
    """What the learner's log holds: kind, id, and what else was kept."""
    lines = (lab["home"] / "progress.jsonl").read_text().splitlines()
    told = [json.loads(line) for line in lines if line]
    return [(e["event"], e["id"], *(e[key] for key in ("choice", "right") if key in e)) for e in told]


def test_a_wrong_then_a_right_answer(lab, page):
    notebook = Page(page, lab, "01_gradient_descent")
    notebook.run_all()
    assert "01.1 not attempted" in notebook.cell("def step(").inner_text()
    said = notebook.answer("def step(", BROKEN)
    assert "NameError" in said
    said = notebook.answer("def step(", WRONG)
    assert "01.1 not yet" in said
    assert "This walks uphill" in said
    cell = notebook.cell("def step(")
    cell.locator("summary").first.click()
    assert "Which sign makes the loss fall?" in cell.locator(".jp-OutputArea").inner_text()
    notebook.picture("wrong")
    said = notebook.answer("def step(", RIGHT)
    assert "01.1 correct" in said
    assert said.count("01.1") == 1  # shown once
    notebook.picture("right")
    assert ("passed", "01.1") in events(lab)


def test_an_endless_loop_ends_by_itself_and_the_kernel_lives_on(lab, page):
    only_in_the_light(lab)
    notebook = Page(page, lab, "01_gradient_descent")
    notebook.run_all()
    endless = WRONG.replace("    return x + lr * gradient", "    while True:\n        pass")
    said = notebook.answer("def step(", endless, seconds=45)
    assert "Stopped after 30 seconds" in said
    notebook.picture("endless")
    sources = [cell["source"] for cell in notebook.cells()]
    following = sources[next(k for k, source in enumerate(sources) if "def step(" in source) + 1]
    assert "Error" not in notebook.answer(following, following)
    assert "01.1 correct" in notebook.answer("def step(", RIGHT)


def test_a_question_on_an_earlier_lesson_is_answered_with_its_reason(lab, page):
    notebook = Page(page, lab, "02_backpropagation")
    notebook.run_all()
    cell = notebook.cell('recall("02")')
    said = cell.locator(".jp-OutputArea")
    before = said.inner_text()
    assert not re.search("[✓✗]", before)
    cell.locator("input[type=radio]").first.click()
    expect(said).to_contain_text(re.compile("✓ Right|✗ Not"))
    assert len(said.inner_text()) > len(before) + 40  # a reason, not only a mark
    assert events(lab)[-1][0] == "recalled"
    notebook.picture("recalled")


def test_a_prediction_is_kept_and_settled(lab, page):
    notebook = Page(page, lab, "00_start_here")
    notebook.run_all()
    cell = notebook.cell("predict(")
    cell.get_by_text(
        "about 20 times as large", exact=True
    ).click()  # its place differs from learner to learner
    page.wait_for_function("cell => cell.innerText.includes('Your prediction')", arg=cell.element_handle())
    notebook.picture("predicted")
    assert events(lab)[-1] == ("chosen", "00.a", "about 20 times as large")
    notebook.run_all()
    assert "Predicted: about 20 times as large" in notebook.cell("reveal(").inner_text()
    assert ("settled", "00.a", "about 20 times as large", False) in events(lab)
    notebook.run_all()
    assert "Settled earlier." in notebook.cell("predict(").inner_text()


ANSWERS = {
    "02_backpropagation": (
        "02.1",
        "def linear_backward(h, W, delta):\n    return delta @ W, h.T @ delta, delta.sum(0)",
        ("h.T @ delta", "delta.T @ h"),
        "dW is transposed",
    ),
    "03_exploding_gradients": (
        "03.1",
        "def growth_per_layer(sizes):\n    return float((sizes[:-1] / sizes[1:]).mean())",
        ("float((sizes[:-1] / sizes[1:]).mean())", "float(sizes[0] / sizes[-1]) ** (1 / (len(sizes) - 1))"),
        "arithmetic mean",
    ),
    "04_activations": (
        "04.6",
        "def dead_fraction(h):\n    return float((h == 0).float().mean())",
        ("(h == 0).float()", "(h == 0).all(0).float()"),
        "fraction of zeros",
    ),
    "05_initialization": (
        "05.1",
        "def weight_std(fan_in, fan_out, rule):\n"
        '    return {"lecun": 1 / fan_in, "xavier": 2 / (fan_in + fan_out), "he": 2 / fan_in}[rule]',
        ("[rule]", "[rule] ** 0.5"),
        "This is the variance",
    ),
    "06_clipping": (
        "06.1",
        "def clip_by_value(grads, c):\n    return [g.clamp(max=c) for g in grads]",
        ("clamp(max=c)", "clamp(-c, c)"),
        "the lower end is -c",
    ),
    "07_learning_rate_schedules": (
        "07.5",
        "def step_decay(step, every, factor):\n    return factor ** (step / every)",
        ("step / every", "step // every"),
        "a little at every step",
    ),
    "08_residual_and_normalization": (
        "08.2",
        "def rms_norm(x, gain, eps):\n    x = x - x.mean(-1, keepdim=True)\n    return gain * x / (x.square().mean(-1, keepdim=True) + eps).sqrt()",
        ("    x = x - x.mean(-1, keepdim=True)\n", ""),
        "The mean was taken away first",
    ),
    "09_adam": (
        "09.2",
        "def adam_edge(lr, beta1):\n    return (2 + 2 * beta1) / lr",
        ("/ lr", "/ ((1 - beta1) * lr)"),
        "heavy ball's edge",
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_exercise_answered_wrongly_then_rightly(lab, page, name):
    only_in_the_light(lab)
    exercise, wrong, (mistake, mended), sentence = ANSWERS[name]
    function = wrong.split("(")[0]
    wrong += f'\n\n\n{function[4:]} = check("{exercise}", {function[4:]}).function'
    notebook = Page(page, lab, name)
    notebook.run_all()
    assert f"{exercise} not attempted" in notebook.cell(function).inner_text()
    said = notebook.answer(function, wrong)
    assert f"{exercise} not yet" in said
    assert sentence in said
    notebook.picture("wrong")
    assert f"{exercise} correct" in notebook.answer(function, wrong.replace(mistake, mended))


def test_a_patient_treated_wrongly_then_rightly(lab, page):
    only_in_the_light(lab)
    notebook = Page(page, lab, "12_emergency_room")
    notebook.run_all()
    closed = notebook.cell('"12.4"').inner_text()
    assert "12.4 not attempted" in closed
    assert "12.4: the script" not in closed
    named = notebook.answer('"12.4"', 'treat("12.4", "init too large")')
    assert "12.4 named" in named
    assert "Patient 12.4: the script" in named
    clip = 'treat("12.4", "init too large", 11, "clip_grad_norm_(net.parameters(), 1.0)")'
    assert "A painkiller" in notebook.answer('"12.4"', clip)
    notebook.picture("painkiller")
    cured = notebook.answer('"12.4"', 'treat("12.4", "init too large", 2, "init_weights_(net, 2**0.5)")')
    assert "12.4 correct" in cured
    assert ("passed", "12.4") in events(lab)


@pytest.mark.parametrize("name", LESSONS)
def test_a_solution_can_be_read_without_running_it(lab, page, name):
    only_in_the_light(lab)
    notebook = Page(page, lab, name, "solutions")
    notebook.cell({"12": "practice.gallery(", "13": "plot_guide("}.get(name[:2], "explorers.explore_"))
    notebook.picture("solution")
