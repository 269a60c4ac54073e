"""A page shows what a reader without a kernel needs, gives nothing away, and leads where it says."""

import json
import re
from base64 import b64encode
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from gradutils.course.questions import QUESTIONS, RECALLS
from tools import pages, site
from tools.mathml import mathml, write_font


def png(width=4, height=3):
    stream = BytesIO()
    Image.new("RGB", (width, height)).save(stream, "PNG")
    return b64encode(stream.getvalue()).decode()


def markdown(text):
    return {"cell_type": "markdown", "id": "m", "source": text, "metadata": {}}


def code(source, *outputs, id="01-001", tags=()):
    metadata = {"tags": list(tags)} if tags else {}
    return {"cell_type": "code", "id": id, "source": source, "metadata": metadata, "outputs": list(outputs)}


def shows(text, **data):
    return {
        "output_type": "display_data",
        "data": {"text/plain": text} | {k.replace("_", "/"): v for k, v in data.items()},
    }


PREDICT = code('predict("01.a", "It…", [a, b])', shows("Predict 01.a: It…\n  a) grows\n  b) falls"))
REVEAL = code(
    'reveal(\n    "01.a",\n    a)',
    shows(
        "Measured: grows. No prediction was made.\nBy 2.\nNot “falls”: Too far.",
        text_html="<div>a card</div>",
    ),
    tags=["reveal"],
)


def made(*cells, stubs=None, tables=(), top=""):
    """The page of a lesson with these cells; ``stubs`` replaces the sources of a lesson by number."""
    lesson = [cell | {"source": (stubs or {}).get(k, cell["source"])} for k, cell in enumerate(cells)]
    return pages.lesson_page(
        {"cells": list(cells)}, {"cells": lesson}, pages.notebook_links, set(tables), top
    )


def html_of(cell):
    return "".join(output.get("data", {}).get("text/html", "") for output in cell.get("outputs", []))


# A cell ----------------------------------------------------------------------------------------------------------------
def test_an_exercise_is_a_stub_with_one_answer_folded_under_it_and_nobody_has_passed():
    source, stub = 'def f():\n    return 1\n\n\nf = check("01.1", f).function', "def f():\n    ..."
    page = made(code(source, shows("✓ 01.1 correct.", text_html="<b>✓</b>")), stubs={0: stub})
    first, answer = page.cells
    assert (first.source, first.outputs) == (stub, [])
    assert (answer.source, answer.outputs) == (source, [])
    assert answer.metadata["tags"] == ["hide-cell"]
    assert answer.metadata["mystnb"]["code_prompt_show"] == "Show one answer"


def test_a_patient_shows_its_chart_before_the_answer_and_its_script_with_it():
    outputs = (
        shows("Patient 12.1\nAt step 0:", text_html="<pre>numbers</pre>"),
        shows("A chart: it rises.", image_png=png()),
        shows("Patient 12.1: the script\n 1", text_html="<pre>script</pre>"),
        shows("✓ 12.1 correct. 3 of 3 train.", text_html="<b>✓ 12.1 correct.</b> 3 of 3 train."),
    )
    first, answer = made(code('treat("12.1", "x")', *outputs), stubs={0: 'treat("12.1", ...)'}).cells
    assert "numbers" in html_of(first)
    assert "<img" in html_of(first)
    assert "script" not in html_of(first)
    assert "script" in html_of(answer)
    assert "3 of 3 train." in html_of(answer)
    assert "correct" not in html_of(first) + html_of(answer)


def test_a_figure_lies_out_of_line_with_its_size_and_its_sentence():
    page = made(code("plot()", shows('It "rises"\n& falls.', image_png=png(4, 3)), id="01-007"))
    assert list(page.pictures) == ["01-007-0.png"]
    assert 'width="4" height="3"' in html_of(page.cells[0])
    assert 'alt="It &quot;rises&quot; &amp; falls."' in html_of(page.cells[0])


def test_a_large_figure_takes_less_room_and_keeps_its_pixels():
    noise = np.random.default_rng(0).integers(0, 2, (300, 400, 1)) * np.array([255, 0, 120])
    stream = BytesIO()
    Image.fromarray(noise.astype("uint8")).save(stream, "PNG", compress_level=0)
    page = made(code("plot()", shows("Noise.", image_png=b64encode(stream.getvalue()).decode())))
    ((name, kept),) = page.pictures.items()
    assert name.endswith(".webp")
    assert len(kept) < len(stream.getvalue()) / 2
    assert (np.asarray(Image.open(BytesIO(kept)).convert("RGB")) == noise).all()


@pytest.mark.parametrize("sentence", ["", "<Figure size 640x480 with 1 Axes>"])
def test_a_figure_without_a_sentence_is_refused(sentence):
    with pytest.raises(pages.PageError, match=r"01-001-0\.png: the figure has no sentence"):
        made(code("plot()", shows(sentence, image_png=png())))


def test_an_explorer_is_its_picture_and_moves_where_it_has_a_table():
    cell = code("explorers.explore_depth()", shows("It grows.", image_png=png()))
    assert 'data-explorer="depth"' in html_of(made(cell, tables=["depth"]).cells[0])
    assert "data-explorer" not in html_of(made(cell, tables=["edge"]).cells[0])
    assert "<img" in html_of(made(cell).cells[0])


def test_a_folded_cell_says_what_it_hides_and_keeps_its_output_in_sight():
    (cell,) = made(
        code(
            "# Ten seeds\nrun()",
            shows("x", text_html="<table><th></th><th>a</th></table>"),
            tags=["experiment"],
        )
    ).cells
    assert cell.metadata["tags"] == ["hide-input"]
    assert cell.metadata["mystnb"]["code_prompt_show"] == "Ten seeds"
    assert '<td></td><th scope="col">a</th>' in html_of(cell)
    assert made(code("run()", tags=["reveal"])).cells[0].metadata["mystnb"]["code_prompt_show"] == "The code"


def test_what_is_about_the_reader_is_not_told_of_the_one_who_ran_it():
    for call in ("progress()", "review()"):
        html = html_of(made(code(call, shows("00 ✓ 00.1", text_html="<table>00.1</table>"))).cells[0])
        assert "00.1" not in html
        assert "In the notebook" in html


def test_a_progress_bar_is_dropped_and_print_stays():
    bar = {
        "output_type": "display_data",
        "data": {"text/plain": "0%|", "application/vnd.jupyter.widget-view+json": {}},
    }
    printed = {"output_type": "stream", "name": "stdout", "text": ["2\n", "3\n"]}
    assert [output.text for output in made(code("run()", bar, printed)).cells[0].outputs] == ["2\n3\n"]


def test_a_table_of_sentences_becomes_text_whose_links_lead_somewhere():
    table = "| claim |\n|-|\n| [S1](03_x.ipynb#Claim-on-trial:-S1) |"
    _, below = made(code("show()", shows("S1", text_markdown=table))).cells
    assert "(03_x.ipynb#claim-on-trial-s1)" in below.source


def test_a_lesson_of_other_cells_than_its_solution_is_refused():
    with pytest.raises(pages.PageError, match="other cells"):
        pages.lesson_page({"cells": [PREDICT]}, {"cells": []}, str, set(), "")


# What is asked ---------------------------------------------------------------------------------------------------------
def test_a_prediction_is_buttons_and_what_was_measured_is_closed():
    asked, settled = made(PREDICT, REVEAL).cells
    assert re.findall(r'value="(\d)"> (\w+)', html_of(asked)) in (
        [("0", "grows"), ("1", "falls")],
        [("1", "falls"), ("0", "grows")],
    )
    assert 'data-settled="measured-01.a"' in html_of(asked)
    html = html_of(settled)
    assert html.startswith('<details class="measured" id="measured-01.a" data-right="0"')
    assert (
        '<p class="head">Measured: grows.</p><p>By 2.</p><p data-option="1">Not “falls”: Too far.</p>' in html
    )
    assert "No prediction was made" not in html


def test_a_reveal_of_what_was_not_asked_or_not_offered_is_refused():
    with pytest.raises(pages.PageError, match="not asked"):
        made(REVEAL)
    other = code('reveal("01.a", c)', shows("Measured: stays. No prediction was made."))
    with pytest.raises(pages.PageError, match=r"'stays', which is none of the options of 01\.a"):
        made(PREDICT, other)


def test_the_right_answer_is_at_no_place_more_often():
    places = [
        pages.in_order(key, one.options).index(one.right)
        for key, one in QUESTIONS.items()
        if len(one.options) == 3
    ]
    assert all(places.count(place) > len(places) / 6 for place in range(3))


@pytest.mark.parametrize("lesson", RECALLS)
def test_recall_asks_its_questions_with_a_reason_for_each_option(lesson):
    html = pages.recall_html(lesson)
    assert html.count("<fieldset>") == len(RECALLS[lesson]) == 3
    for key in RECALLS[lesson]:
        answer = html.partition(f'id="measured-{key}"')[2].partition("</details>")[0]
        right = re.search(r'data-right="(\d)"', answer)[1]
        reasons = set(re.findall(r'data-option="(\d)"', answer))
        assert {right, *reasons} == {str(k) for k in range(len(QUESTIONS[key].options))}
        assert right not in reasons


# The stored lessons ----------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def stored():
    def read(folder, name):
        return json.loads((site.ROOT / folder / f"{name}.ipynb").read_text(encoding="utf-8"))

    return {
        name: pages.lesson_page(
            read("solutions", name), read("lessons", name), pages.notebook_links, set(), ""
        )
        for name in site.lessons()
    }


def test_every_lesson_asks_and_settles_the_same_and_each_exercise_has_its_answer(stored):
    for name, page in stored.items():
        html = "".join(map(html_of, page.cells))
        assert set(re.findall('data-settled="(.*?)"', html)) == set(
            re.findall('<details class="measured" id="(.*?)"', html)
        ), name
        folds = [k for k, cell in enumerate(page.cells) if cell.metadata.get("tags") == ["hide-cell"]]
        assert all("..." in page.cells[k - 1].source for k in folds), name
        assert len(folds) >= 1 or name.startswith("13"), name


def test_every_explorer_of_a_lesson_has_the_table_that_moves_it(stored):
    sources = "\n".join(cell.source for page in stored.values() for cell in page.cells)
    assert set(pages.EXPLORER.findall(sources)) == site.explorers()


def test_no_page_tells_of_a_pass_or_of_a_learner(stored):
    for name, page in stored.items():
        html = "".join(map(html_of, page.cells))
        assert not pages.PASSED.search(html), name
        assert "No prediction was made" not in html, name


# Texts and links -------------------------------------------------------------------------------------------------------
NOWHERE, GITHUB = site.Repository(""), site.Repository("git@github.com:ada/course.git")


@pytest.mark.parametrize(
    ("text", "led"),
    [
        ("[a](lessons/01_gradient_descent.ipynb)", "[a](lessons/01_gradient_descent.ipynb)"),
        ("[a](CONTRIBUTING.md#drop-a-lesson)", "[a](contributing.md#drop-a-lesson)"),
        ("![a](docs/front.png)", "![a](figures/front.png)"),
        ("[a](https://a.org/x) [b](#limits) `x[0](y)`", "[a](https://a.org/x) [b](#limits) `x[0](y)`"),
        ("[a](LICENSE)", "a"),
    ],
)
def test_links_of_a_text_lead_to_pages(text, led):
    assert site.in_the_site(text, "README.md", NOWHERE) == led


def test_what_is_no_page_is_read_in_the_repository_where_one_is_known():
    assert (
        site.in_the_site("[a](LICENSE)", "README.md", GITHUB)
        == "[a](https://github.com/ada/course/blob/main/LICENSE)"
    )


def test_links_of_a_lesson():
    text = "[The solution of this\nlesson](../solutions/01_x.ipynb) · [Back](00_y.ipynb)"
    assert pages.notebook_links(text) == "[Back](00_y.ipynb)"
    assert pages.notebook_links("[t](05_a.ipynb#2-%C2%B7-Where%3F)") == "[t](05_a.ipynb#2--where)"


@pytest.mark.parametrize(
    ("remote", "binder", "colab"),
    [
        (
            "https://github.com/ada/course.git",
            "gh/ada/course",
            "github/ada/course/blob/main/lessons/01_x.ipynb",
        ),
        ("git@gitlab.com:ada/course.git", "gl/ada%2Fcourse", None),
        ("/srv/course", None, None),
        ("", None, None),
    ],
)
def test_a_lesson_opens_where_the_remote_can_be_reached(remote, binder, colab):
    line = site.launch_line("01_x", site.Repository(remote))
    assert ("mybinder" in line, "colab" in line) == (bool(binder), bool(colab))
    assert not binder or f"mybinder.org/v2/{binder}/HEAD?urlpath=lab%2Ftree%2Flessons%2F01_x.ipynb" in line
    assert not colab or colab in line
    assert 'href="../setup.html"' in line


def test_the_front_page_is_made_of_the_readme_and_says_so_where_it_cannot():
    front, setting_up = site.front_page(
        "# T\n\n**Why?**\n\nProof.\n\nThis is a course in notebooks. Go on. Do:\n\n    make\n\n## L\n",
        "<b>e</b>",
    )
    assert front.startswith("# T\n\n**Why?**\n\n:::::{container} hero")
    places = [
        front.index(part) for part in ("\nThis is a course in notebooks. Go on.\n", "<b>e</b>", "Proof.")
    ]
    assert places == sorted(places)
    assert setting_up == "Do:\n\n    make"
    with pytest.raises(
        ValueError, match=r"README\.md must hold a paragraph that begins with 'This is a course"
    ):
        site.front_page("# T\n\n**Why?**\n", "")


def test_every_verdict_has_its_row_and_the_readme_goes_in_whole():
    texts = site.prose(NOWHERE, "")
    rows = re.findall(r"^\| \[([SW]\d+)\]", texts["verdicts.md"], re.MULTILINE)
    assert rows == list(site.CLAIMS)
    readme = (site.ROOT / "README.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.+)", readme, re.MULTILINE)
    everything = "\n".join(texts.values())
    assert [
        heading
        for heading in headings
        if not re.search(rf"^##? {re.escape(heading)}$", everything, re.MULTILINE)
    ] == []


# Equations -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("latex", "holds"),
    [
        ("(-1)", '<mo form="prefix">−</mo><mn>1</mn>'),
        ("a-1", "<mi>a</mi><mo>−</mo>"),
        ("|g| + c", '<mo stretchy="false" form="postfix">|</mo><mo>+</mo>'),
        (r"\ln 2", '<mi>ln</mi><mspace width="0.167em" /><mn>2</mn>'),
        (r"z \sim N", '<mo lspace="0.278em" rspace="0.278em">∼</mo>'),
        ("a/b", '<mo lspace="0" rspace="0">/</mo>'),
        ("a < b", 'data-latex="a &lt; b"'),
    ],
)
def test_a_sign_says_where_it_stands(latex, holds):
    assert holds in mathml(latex)


@pytest.mark.parametrize("latex", [r"\frac{1}", r"\nonsense x"])
def test_a_formula_that_cannot_be_read_is_named(latex):
    with pytest.raises(ValueError, match=f"{re.escape(repr(latex))} cannot be read"):
        mathml(latex)


def test_every_character_of_every_formula_is_in_the_font(stored, tmp_path):
    from fontTools.ttLib import TTFont

    write_font(tmp_path / "math.woff")
    font = TTFont(tmp_path / "math.woff")
    known, advances = font.getBestCmap(), font["hmtx"]
    assert "MATH" in font
    variants, root = font["MATH"].table.MathVariants, known[ord("√")]
    signs = variants.VertGlyphConstruction[
        variants.VertGlyphCoverage.glyphs.index(root)
    ].MathGlyphVariantRecord
    assert {advances[sign.VariantGlyph][0] for sign in signs} == {advances[root][0]}
    assert len(signs) > 1
    for name, page in stored.items():
        text = re.sub(
            "`[^`]*`", "", "\n".join(cell.source for cell in page.cells if cell.cell_type == "markdown")
        )
        for formula in re.findall(r"\$\$.+?\$\$|\$[^$\n]+\$", text, re.DOTALL):
            shown = re.sub("<[^>]+>", "", mathml(formula.strip("$")))
            assert all(ord(letter) in known for letter in shown.replace("&lt;", "<")), (name, formula)


def test_a_section_of_the_readme_that_is_a_page_is_found_there():
    text = "The [recorder](../README.md#take-the-recorder-home), and [why](../README.md#limits)."
    led = site.in_the_site(text, "docs/classroom.md", site.Repository(""))
    assert led == "The [recorder](recorder.md), and [why](index.md#limits)."


def test_a_folder_that_no_build_has_made_is_left_alone(tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("all of it")
    for folder in (mine, mine / "thesis.tex"):
        with pytest.raises(SystemExit, match="holds something else"):
            site.empty(folder)
    assert (mine / "thesis.tex").read_text() == "all of it"
    made = tmp_path / "new" / "site"
    site.empty(made)
    (made / "index.html").touch()
    site.empty(made)
    assert [path.name for path in made.iterdir()] == [site.MARK]
