"""Tables of explorers: what is recorded is what would be drawn now, and comes back from its bytes as it went in."""

import io
import json
import random

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from PIL import Image

from gradutils.explorers import tables
from gradutils.explorers.packing import head_of, pack, unpack
from gradutils.explorers.recording import GAP, PARTS, LiveFigure, Mark, Pen, Row
from tools import explorers as tool

ROWS = 20  # of each table, drawn at random


def agree(one, other):
    """Whether two rows say the same and draw the same to a sixteenth of a pixel."""
    return (
        one.sentence == other.sentence
        and one.marks.keys() == other.marks.keys()
        and all(
            mark.style == now.style
            and len(mark.x) == len(now.x)
            and np.abs(mark.x.astype(int) - now.x).max() <= 1
            and np.abs(mark.y.astype(int) - now.y).max() <= 1
            for mark, now in zip(one.marks.values(), other.marks.values(), strict=True)
        )
    )


@pytest.mark.parametrize("name", tool.NAMES)
def test_a_table_fits_its_explorer_and_holds_what_it_draws(name):
    explorer, packed = tool.explorer_of(name), tables.stored(name)
    assert packed is not None, f"there is no table of {name}: python -m tools.explorers {name}"
    assert len(packed) <= tool.LARGEST
    assert tables.fitting(name, explorer.look()), f"{name} is stale: python -m tools.explorers {name}"
    assert explorer.table == packed
    head, rows = unpack(packed)
    positions = explorer.positions()
    assert len(rows) == len(positions) == head["rows"]
    assert tuple(explorer.at) in positions
    chosen = random.Random(name).sample(range(len(rows)), min(ROWS, len(rows)))
    same = [agree(rows[k], explorer.row(positions[k])) for k in chosen]
    # Where a run is chaotic, another processor takes another way.
    assert sum(same) >= 0.75 * len(same), f"{sum(same)} of {len(same)} rows are still drawn so"


def test_a_table_of_other_sources_of_another_figure_or_of_none_is_not_used(monkeypatch):
    look = tool.explorer_of("learning_rate").look()
    assert tables.fitting("learning_rate", look)
    for key, value in (("made from", "0" * 16), ("boxes", []), ("size", [1, 1]), ("sliders", [])):
        assert tables.fitting("learning_rate", look | {key: value}) is None
    assert tables.fitting("no such explorer", look) is None
    assert tool.main(["--check", "learning_rate"]) == 0
    monkeypatch.setattr(tables, "digest", lambda module: "of other sources")
    assert not tool.is_fresh("learning_rate")
    assert tool.main(["--check", "learning_rate", "momentum"]) == 1


def test_the_command_writes_what_it_says_and_refuses_what_is_too_large(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(tables, "FOLDER", tmp_path / "tables")
    assert tool.main(["--check", "edge"]) == 1
    assert capsys.readouterr().out == "stale: edge\n"
    assert tool.main(["edge"]) == 0
    assert capsys.readouterr().out.split()[:3] == ["edge", "8", "rows"]
    assert tool.is_fresh("edge")
    monkeypatch.setattr(tool, "LARGEST", 1000)
    with pytest.raises(ValueError, match=r"edge: 8 rows take .* bytes, more than 1,000"):
        tool.make_table("edge")
    with pytest.raises(ValueError, match="no explorer is called 'edges'"):
        tool.explorer_of("edges")
    with pytest.raises(SystemExit):
        tool.main(["edges"])
    assert "no explorer is called 'edges'" in capsys.readouterr().err


# Packing -----------------------------------------------------------------------------------------------------------------
def random_rows(seed, count):
    """Rows of every kind: marks that come and go, of any length and any numbers, gaps, equal ones, sentences of any length."""
    source = np.random.default_rng(seed)
    track = lambda n: source.integers(-(2**15) + 1, 2**15, n).astype(np.int16)  # noqa: E731
    styles = [json.dumps(style) for style in ({"fill": "#ff0000"}, {"dash": [1, 2.5], "stroke": "#000000"})]
    rows, old = [], Mark(styles[0], track(3), track(3))
    for number in range(count):
        marks = {}
        for slot in ((0, 0), (0, 1), (3, 0)):
            if source.random() < 0.7:
                n = int(source.integers(1, 9))
                y = np.where(source.random(n) < 0.2, np.int16(GAP), track(n))
                marks[slot] = old if source.random() < 0.3 else Mark(styles[source.integers(2)], track(n), y)
        words = ["loss", "é", str(number), "1e-09."][: source.integers(1, 5)]
        rows.append(Row(" ".join(words), marks, {}))
    return rows


@pytest.mark.parametrize("count", [1, 2, 40])
@pytest.mark.parametrize("seed", range(5))
def test_rows_come_back_as_they_were(seed, count):
    rows, pictures = random_rows(seed, count), {"background": bytes(range(200)), "empty": b""}
    head, again = unpack(pack(rows, {"said": "so"}, pictures))
    assert head["said"] == "so"
    for row, now in zip(rows, again, strict=True):
        assert now.sentence == row.sentence
        assert now.pictures == pictures
        assert now.marks.keys() == row.marks.keys()
        for slot, mark in row.marks.items():
            assert json.loads(now.marks[slot].style) == json.loads(mark.style)
            assert np.array_equal(now.marks[slot].x, mark.x)
            assert np.array_equal(now.marks[slot].y, mark.y)


def test_equal_rows_cost_nothing_and_known_pictures_are_left_out():
    rows = random_rows(0, 1)
    once, often = (len(pack(rows * count, {}, {})) for count in (1, 1000))
    assert often < once + 200
    assert head_of(pack(rows, {}, {"a": b"1", "b": b"2"}, known=["a"]))["pictures"] == ["b"]


@pytest.mark.parametrize("wrong", [b"", b"nothing", pack(random_rows(0, 3), {}, {})[:-40]])
def test_what_is_no_table_is_said(wrong):
    with pytest.raises(ValueError, match=f"these {len(wrong)} bytes are no table of an explorer"):
        unpack(wrong)


# The pen -----------------------------------------------------------------------------------------------------------------
@pytest.fixture
def axes():
    """Axes of 4 by 2 over 400 by 200 pixels, 50 from the left and 100 from the bottom of 500 by 400."""
    figure = Figure(figsize=(5, 4), dpi=100)
    axes = figure.add_axes((0.1, 0.25, 0.8, 0.5))
    axes.set(xlim=(0, 4), ylim=(0, 2))
    return axes


def only(axes, artist):
    """What a figure of this artist alone records of it."""
    return list(LiveFigure(axes.figure, {"it": artist}).record("").marks.values())


def test_a_line_is_kept_in_sixteenths_of_a_pixel_from_the_upper_left(axes):
    (mark,) = only(axes, axes.plot([0, 4, np.nan, 1], [0, 2, 1, 1], color="#ff000080", ls="--", lw=1.44)[0])
    assert (mark.x / PARTS).tolist() == [50, 450, 450, 150]
    assert (mark.y[[0, 1, 3]] / PARTS).tolist() == [300, 100, 200]
    assert mark.y[2] == GAP
    style = json.loads(mark.style)
    assert style.pop("dash") == pytest.approx([7.4, 3.2])  # 3.7 and 1.6 widths
    assert style == {
        "stroke": "#ff000080", "width": 2, "join": "round", "cap": "butt", "clip": [50, 100, 400, 200],
    }  # fmt: skip


def test_markers_are_a_shape_at_every_point_and_nothing_is_drawn_of_what_is_not_seen(axes):
    (mark,) = only(axes, axes.plot([0, np.nan, 2], [1, 1, 1], "s", ms=7.2, mec="none", linewidth=0)[0])
    assert json.loads(mark.style)["shape"] == ("M-5.000 5.000L5.000 5.000L5.000 -5.000L-5.000 -5.000Z")
    assert (mark.x / PARTS).tolist() == [50, 250]
    assert only(axes, axes.plot([], [], "o-")[0]) == []
    assert only(axes, axes.plot([1, 2], [1, 1], color="none")[0]) == []
    assert only(axes, axes.plot([1, 2], [1, 1], visible=False)[0]) == []


def test_a_text_is_the_outline_of_its_letters(axes):
    (mark,) = only(axes, axes.text(2, 1, "l", fontsize=20, color="#0000ff"))
    style = json.loads(mark.style)
    assert style["fill"] == "#0000ff"
    assert style["shape"].startswith("M")
    assert style["shape"].endswith("Z")
    assert (mark.x / PARTS, mark.y / PARTS) == ([250], [200])


def test_an_image_is_a_picture_twice_as_fine_and_drawn_again_only_when_it_changes(axes):
    image = axes.imshow(np.eye(2), extent=(0, 4, 0, 2), cmap="gray", aspect="auto", interpolation="nearest")
    live = LiveFigure(axes.figure, {"it": image})
    row = live.record("")
    (mark,) = row.marks.values()
    style = json.loads(mark.style)
    assert style["at"] == [50, 100, 400, 200]
    picture = Image.open(io.BytesIO(row.pictures[style["picture"]])).convert("L")
    assert picture.size == (800, 400)
    assert [picture.getpixel(at) for at in ((10, 10), (790, 10), (10, 390), (790, 390))] == [255, 0, 0, 255]
    assert live.record("").marks is not row.marks
    assert live.record("").marks[0, 0] is mark
    live.set({"it": 1 - np.eye(2)})
    assert set(live.record("").pictures) != set(row.pictures)
    ground = Image.open(io.BytesIO(live.background())).convert("L")
    assert ground.getpixel((500, 300)) == 255  # the image is not part of it


def refused(axes):
    """Artists that move but cannot be recorded, with what is said of them."""
    yield axes.plot([0, 1], [0, 1], sketch_params=(2, 100, 2))[0], "a sketch is not recorded"
    yield axes.plot([0, 1], [0, 1], ls=(3, (4, 2)))[0], "dashes that begin in the middle are not recorded"
    yield axes.plot([0, 1e6], [0, 1])[0], "a vertex 2048 pixels away is not recorded"
    yield axes.imshow(np.eye(2), alpha=0.5), "an image that is turned or shines through is not recorded"


def test_what_cannot_be_recorded_is_refused_by_name(axes):
    for artist, said in refused(axes):
        with pytest.raises(TypeError, match=f"artist 'it' .*{said}"):
            only(axes, artist)
    with pytest.raises(
        TypeError, match="artist 'bars' is a LineCollection; only Line2D, Text and AxesImage move"
    ):
        LiveFigure(axes.figure, {"bars": axes.add_collection(LineCollection([]))})
    with pytest.raises(NotImplementedError, match="text set by TeX is not recorded"):
        Pen(axes.figure).draw_tex(None, 0, 0, "a", None, 0)
