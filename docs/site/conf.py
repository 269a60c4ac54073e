"""How Sphinx sets the pages that tools/site.py prepares."""

import tomllib
from html import escape
from pathlib import Path

from docutils.nodes import SkipNode
from myst_nb.sphinx_ import HideCodeCellNode
from sphinx.util.docutils import SphinxTranslator

from tools.mathml import mathml

HERE = Path(__file__).parent
project = "Training stability"
author = "the authors of gradutils"
version = tomllib.loads((HERE.parent.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"][
    "version"
]
language = "en"

extensions = ["myst_nb"]
nb_execution_mode = "off"
nb_ipywidgets_js = {}  # a page has no widgets, and asks nobody for their scripts
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 4
html_math_renderer = "mathml"

html_theme = "pydata_sphinx_theme"
html_title = project
html_favicon = "static/mark.svg"
html_context = {"default_mode": "auto"}
html_static_path = ["static"]
html_css_files = ["site.css"]
html_js_files = [("site.js", {"defer": "defer"})]
templates_path = ["templates"]
html_copy_source = False
html_show_sourcelink = False
ALONE = ("index", "setup", "verdicts", "about", "search", "genindex")
html_sidebars = {name: [] for name in ALONE} | {"lessons/*": ["sidebar-nav-bs"]}
html_theme_options = {
    "logo": {"text": project},
    "navbar_align": "left",
    "navbar_end": ["theme-switcher"],
    "header_links_before_dropdown": 6,
    "secondary_sidebar_items": {"**": ["page-toc"], "index": []},
    "footer_start": ["licence"],
    "footer_end": [],
    "show_prev_next": True,
}


def _inline(translator: SphinxTranslator, node) -> None:
    translator.body.append(mathml(node.astext()))
    raise SkipNode


def _block(translator: SphinxTranslator, node) -> None:
    translator.body.append(f'<div class="equation" tabindex="0">{mathml(node.astext(), block=True)}</div>')
    raise SkipNode


def _open_fold(translator: SphinxTranslator, node) -> None:
    """A fold as myst-nb makes it, but named by the words that it shows."""
    classes = " ".join(node["classes"])
    summary = f"<summary>{escape(node['prompt_show'])}</summary>"
    translator.body.append(f'<details class="fold {classes}">{summary}\n')


def _close_fold(translator: SphinxTranslator, _node) -> None:
    translator.body.append("</details>\n")


def _name_no_empty_head(_app, _page, _template, context, _document) -> None:
    """A corner of a table that says nothing is no head of a column."""
    context["body"] = context.get("body", "").replace('<th class="head"><p></p></th>', "<td></td>")


def setup(app) -> None:
    app.connect("html-page-context", _name_no_empty_head)
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    app.connect(
        "builder-inited",
        lambda app: app.add_node(HideCodeCellNode, override=True, html=(_open_fold, _close_fold)),
    )
