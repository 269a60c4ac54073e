"""Figure functions take an axes and return it, leave a sentence, and survive what a diverging run gives them."""

import io
import itertools
import os
import re
from base64 import b64decode
from types import SimpleNamespace

import matplotlib
import nbformat
import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from nbclient import NotebookClient
from PIL import Image

from gradutils import plots
from gradutils.course.display import show, table
from gradutils.data import digits, quadratic
from gradutils.models import init_weights_, mlp
from gradutils.recorder import Recorder

pytestmark = pytest.mark.filterwarnings("error")
# Before 3.11 an axis of one decade had its ticks named at powers of ten alone.
NEW_TICKS = matplotlib.__version_info__ >= (3, 11)


@pytest.fixture
def ax():
    with plt.style.context(plots.STYLE):
        figure, axes = plt.subplots()
        yield axes
        figure.canvas.draw()  # whatever was drawn can be drawn
        plt.close(figure)


def test_the_style_is_that_of_the_house():
    with plt.style.context(plots.STYLE):
        rc = matplotlib.rcParams
        assert list(rc["figure.figsize"]) == [6.4, 3.6]
        assert rc["figure.dpi"] == 110
        assert rc["axes.titlelocation"] == "left"
        cycle = [f"#{colour.lstrip('#')}" for colour in rc["axes.prop_cycle"].by_key()["color"]]
        palette = (plots.STABLE, plots.SECOND, plots.EXPLODES, plots.THIRD, plots.REFERENCE, plots.VANISHES)
        assert cycle == list(palette)


def test_a_history_marks_divergence_at_the_last_finite_point(ax):
    assert (
        plots.plot_history(ax, {"a": [1.0, 10.0, 1e3, np.inf, np.nan], "b": [1.0, 0.5, 0.25, 0.1, 0.05]})
        is ax
    )
    (cross,) = [line for line in ax.lines if line.get_marker() == "x"]
    assert cross.get_xdata() == 2
    assert cross.get_ydata() == 1e3
    assert cross.get_color() == plots.EXPLODES
    assert ax.lines[0].get_color() == plots.EXPLODES
    assert ax.lines[-1].get_color() == plots.STABLE
    words = plots.sentence(ax.figure)
    assert "a: 1 at first, diverges at step 3" in words
    assert "b: 1 at first, lower at last" in words


@pytest.mark.parametrize("values", [[1.0], [1.0, np.nan], [1e30, 1e300], torch.ones(3)])
def test_odd_histories_can_be_drawn(ax, values):
    plots.plot_history(ax, {"run": values})


def test_a_run_that_is_never_finite_is_said_so(ax):
    plots.plot_history(ax, {"run": [np.nan, np.nan]})
    assert "never finite" in plots.sentence(ax.figure)


def test_five_lines_are_too_many(ax):
    with pytest.raises(ValueError, match="at most four"):
        plots.plot_history(ax, {str(k): [1.0, 2.0] for k in range(5)})


def test_labels_stand_at_the_line_ends_and_do_not_overlap(ax):
    plots.plot_history(ax, {"one": [1, 0.5], "two": [1, 0.49], "three": [1, 0.48]}, log=False)
    ax.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert [text.get_color() for text in ax.texts] == [plots.THIRD, plots.SECOND, plots.STABLE]
    for k, a in enumerate(boxes):
        assert not any(a.overlaps(b) for b in boxes[k + 1 :])
        assert a.x1 <= ax.figure.bbox.x1 + 1


def test_paths(ax):
    assert plots.plot_path_1d(ax, lambda x: x**2, [1.0, -0.5, np.inf], low=-2, high=2) is ax
    assert "ending at -0.5" in plots.sentence(ax.figure)
    assert ax.lines[-1].get_color() == plots.STABLE
    plots.plot_path_1d(ax, lambda x: x**2, [1.0, -0.5, 900.0], low=-2, high=2)
    assert "leaving it" in plots.sentence(ax.figure)
    assert ax.lines[-1].get_color() == plots.EXPLODES
    path = torch.tensor([[1.0, 1.0], [-2.0, 0.5]])
    assert plots.plot_path_2d(ax, quadratic([4.0, 1.0], 0), path) is ax
    assert ax.lines[-1].get_color() == plots.EXPLODES


def test_theory_is_dotted_black_over_the_measurement(ax):
    seeds = torch.tensor([[0.5, 1.0, 1.5], [1.5, 2.0, 2.5]])  # (points, seeds)
    plots.plot_against_theory(ax, [1, 10], {"seen": seeds}, [[1.1, 2.1]], log="xy")
    dotted = ax.lines[-1]
    assert dotted.get_color() == "black"
    assert dotted.get_linestyle() == ":"
    assert dotted.get_zorder() > ax.lines[0].get_zorder()
    assert list(ax.lines[0].get_ydata()) == [1.0, 2.0]  # the median over the seeds
    assert len(ax.collections) == 1
    assert ax.get_xscale() == ax.get_yscale() == "log"
    with pytest.raises(ValueError, match="1 expected, got 2"):
        plots.plot_against_theory(ax, [1, 10], {"seen": [1.0, 2.0]}, [[1, 2], [3, 4]])


def test_maps_outcomes_images_and_marks(ax):
    x, y = np.arange(4.0), np.arange(3.0)
    values = np.outer(y + 1, x + 1)
    assert plots.plot_map(ax, x, y, values, values, levels=[3, 6], limits=(1, 10)) is ax
    assert plots.plot_images(ax, digits().x_train[:3], [1, 2, 3]) is ax
    assert plots.plot_outcomes(ax, [1, 2], [0.1, 10.0], good=[True, False]) is ax
    assert plots.mark_vertical(ax, 1.0, "here") is ax
    assert "1 of 2 runs end well" in plots.sentence(ax.figure)
    assert plots.finish(ax, "The finding", "x", "y") is None
    assert ax.get_title(loc="left") == "The finding"


def test_a_figure_without_a_description_says_so():
    assert plots.sentence(plt.figure()) == "A figure without a description."


def test_tables(capsys):
    columns = {
        "rate": torch.tensor([0.5, 0.25]),
        "runs": [1, 10],
        "good": np.array([True, False]),
        "name": ["a", "b"],
    }
    table(columns)
    assert capsys.readouterr().out.splitlines() == [
        "rate  runs  good  name",
        " 0.5     1   yes     a",
        "0.25    10    no     b",
    ]
    with pytest.raises(ValueError, match="must be of one length; got"):
        table({"a": [1], "b": [1, 2]})


def test_colours_are_told_apart_without_red_or_green():
    """The palette keeps a distance for the three kinds of colour blindness (Machado et al. 2009, severity 1)."""
    # Rows: protanopia, deuteranopia, tritanopia, as matrices on linear rgb.
    simulations = [
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    ]
    meanings = [plots.EXPLODES, plots.STABLE, plots.VANISHES, plots.REFERENCE]
    for colours, matrix in itertools.product(
        (meanings, plots.QUIET), [np.eye(3), *map(np.array, simulations)]
    ):
        rgb = np.array([matplotlib.colors.to_rgb(colour) for colour in colours]) ** 2.2
        seen = np.clip(rgb @ matrix.T, 0, 1) ** (1 / 2.2)
        distances = [np.linalg.norm(a - b) for k, a in enumerate(seen) for b in seen[k + 1 :]]
        assert min(distances) > 0.15


def test_png_is_small():
    from gradutils.explorers import explore_learning_rate

    png = explore_learning_rate().scene.figure.png()
    assert len(png) < 25_000
    assert Image.open(io.BytesIO(png)).size == (704, 396)


def test_a_depth_profile_is_coloured_by_what_it_does(ax):
    layers = np.arange(10)
    profiles = {
        "explodes": 3.0**-layers,
        "vanishes": 3.0**layers,
        "keeps": np.ones(10),
        "overflows": np.full(10, np.inf),
    }
    predicted = {"explodes": 3.0**-layers}
    profiles["keeps"] = np.stack(
        [0.5 * profiles["keeps"], profiles["keeps"], 2 * profiles["keeps"]]
    )  # (seeds, depth)
    assert plots.plot_depth_profile(ax, profiles, predicted) is ax
    assert len(ax.collections) == 1  # the band over the seeds
    colours = [line.get_color() for line in ax.lines]
    assert colours == [plots.EXPLODES, "black", plots.VANISHES, plots.STABLE, plots.EXPLODES]
    assert (
        ax.lines[0].get_ydata()[0] == profiles["explodes"][-1]
    )  # the last layer stands at 0, next to the axis
    assert ax.lines[0].get_xdata()[0] == 0
    assert "explodes: 2e+04 x from the last layer to the first" in plots.sentence(ax.figure)
    with pytest.raises(ValueError, match="at most four"):
        plots.plot_depth_profile(ax, dict.fromkeys("abcde", layers))


@pytest.mark.parametrize("lr", [0.05, 1e6])
@pytest.mark.parametrize("options", [{}, {"activations": False, "deltas": False}], ids=str)
def test_a_recording_is_drawn_whatever_it_holds(lr, options, tmp_path):
    from gradutils.models import mlp
    from gradutils.recorder import Recorder

    torch.manual_seed(0)
    model, (x, y, _, _) = mlp(3, 16, "tanh"), digits()
    optimizer = torch.optim.SGD(model.parameters(), lr)
    with Recorder(model, **({"every": 1} | options)) as recorder:
        for k in range(12):
            optimizer.zero_grad()
            loss = torch.nn.functional.mse_loss(
                model(x[:20]), torch.nn.functional.one_hot(y[:20], 10).float()
            )
            loss.backward()
            optimizer.step()
            recorder.step(loss)
            if k == 0:
                plt.close(plots.plot_recording(recorder))  # one record is enough
    recorder.save(tmp_path / "run.npz")
    from gradutils.recorder.recording import Recording

    for source in (recorder, Recording.load(tmp_path / "run.npz")):
        figure = plots.plot_recording(source)
        figure.savefig(io.BytesIO())
        assert len(figure.axes) == 4
        words = plots.sentence(figure)
        assert words.startswith("12 records: loss from")
        assert ("is not finite at step" in words) == (lr > 1)
        plt.close(figure)


def watched(lr=0.1, steps=12, spoil=None, model=None, optimizer=None, **options):
    """A recorder of a small run on digits; ``spoil`` changes the inputs of a step."""
    torch.manual_seed(0)
    x, y, _, _ = digits()
    model = model or mlp(3, 16)
    optimizer = optimizer or torch.optim.SGD(model.parameters(), lr)
    with Recorder(model, every=1, **options) as recorder:
        for k in range(steps):
            optimizer.zero_grad()
            inputs = x[20 * k :][:20].clone()
            loss = torch.nn.functional.cross_entropy(
                model(spoil(k, inputs) if spoil else inputs), y[20 * k :][:20]
            )
            loss.backward()
            optimizer.step()
            recorder.step(loss)
    return recorder


class Data(SimpleNamespace):
    def __len__(self):
        return len(self.steps)


def as_data(recorder, **changes):
    """The oldest fields of a recording as data, with some changed or added."""
    r = recorder.recording
    tensors = (
        "delta_norm",
        "dead_fraction",
        "saturated_fraction",
        "activation_std",
        "grad_norm",
        "weight_norm",
    )
    names = (
        "steps",
        "loss",
        "trivial_loss",
        "shapes",
        "parameters",
        "layers",
        "first_nonfinite",
        "update_ratio",
    )
    return Data(**{name: getattr(r, name) for name in (*names, *tensors)} | changes)


def words_on(figure):
    """All that is written on a figure, by panel."""
    figure.draw_without_rendering()
    return [
        " ".join([ax.get_title(loc="left"), *(text.get_text().replace("\n", " ") for text in ax.texts)])
        for ax in figure.axes
    ]


def nan_from(step):
    return lambda k, x: x.index_fill(0, torch.tensor([0]), torch.nan) if k == step else x


def test_weights_that_do_not_move_are_said_to_stand_still():
    figure = plots.plot_recording(watched(lr=0.0))
    assert "every update is exactly zero: the weights do not move" in words_on(figure)[1]
    assert "every update is exactly zero: the weights do not move" in plots.sentence(figure)
    plt.close(figure)


def test_a_part_that_never_moves_is_named():
    model = mlp(3, 16)
    last = torch.optim.SGD([*model.parameters()][-2:], 0.1)
    frozen = next(name for name, p in model.named_parameters() if p.ndim > 1)
    figure = plots.plot_recording(watched(model=model, optimizer=last))
    matrices = sum(p.ndim > 1 for p in model.parameters())
    assert f"{matrices - 1} of {matrices} never move: {frozen}" in words_on(figure)[1]
    model = mlp(3, 16)
    model[0].requires_grad_(False)  # on purpose
    rest = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.1)
    assert "never move" not in words_on(plots.plot_recording(watched(model=model, optimizer=rest)))[1]
    plt.close("all")


def test_steps_without_an_update_are_marked_where_others_move():
    model = mlp(3, 16)
    optimizer = torch.optim.SGD(model.parameters(), 0.0)

    def warm_up(k, x):
        optimizer.param_groups[0]["lr"] = 0.1 * (k > 3)
        return x

    figure = plots.plot_recording(watched(model=model, optimizer=optimizer, spoil=warm_up))
    assert "exactly zero in 4 of 12 records" in words_on(figure)[1]
    (marks,) = [line for line in figure.axes[1].lines if line.get_marker() == "v"]
    assert list(marks.get_xdata()) == [0, 1, 2, 3]
    plt.close(figure)


@pytest.mark.parametrize("step", [0, 5])
def test_what_is_not_finite_is_said_in_every_panel_and_first_on_the_page(step):
    figure = plots.plot_recording(watched(spoil=nan_from(step)))
    panels = words_on(figure)
    loss, updates, layers, units = figure.axes
    assert f"not finite from step {step} on" in panels[0]
    assert f"not finite from step {step} on" in panels[1]
    assert figure.get_suptitle().startswith("The first number that is not finite: the ")
    assert figure.get_suptitle().endswith(f", at step {step}")
    for ax in (loss, updates, units):
        assert any(list(line.get_xdata()) == [step, step] for line in ax.lines)
        assert ax.get_xlim() == loss.get_xlim()
        assert ax.get_xlim()[1] > 11
    if step:
        assert layers.lines[-1].get_label() == f"step {step - 1}"
        assert [line.get_xdata()[0] for line in loss.lines if line.get_marker() == "x"] == [step - 1]
    else:
        assert "not finite from step 0 on" in panels[2]
        assert "not finite from step 0 on" in panels[3]
    plt.close(figure)


@pytest.mark.parametrize(("depth", "names"), [(3, None), (40, {"first", "last"})])
def test_few_layers_are_named_and_many_are_counted(depth, names):
    figure = plots.plot_recording(watched(model=mlp(depth, 16), steps=3))
    figure.draw_without_rendering()
    layers = figure.axes[2]
    labels = [label.get_text() for label in layers.get_xticklabels()]
    places = layers.get_xticks()
    assert all(place == int(place) for place in places)
    owners = len(layers.lines[0].get_xdata())
    assert len(labels) == owners if names is None else len(labels) < owners / 3
    assert {1, owners} <= set(places)
    plt.close(figure)


def test_names_are_written_as_they_are():
    model = torch.nn.Sequential()
    model.add_module("$\\frac$", torch.nn.Linear(64, 8))  # would be a formula that cannot be set
    model.add_module("two\nlines", torch.nn.ReLU())
    torch.nn.init.constant_(model[0].bias, -99.0)
    model.add_module("_", torch.nn.Linear(8, 10))
    figure = plots.plot_recording(watched(model=model))
    assert "$\\frac$" in [label.get_text() for label in figure.axes[2].get_xticklabels()]
    assert "two?lines" in figure.axes[3].get_title(loc="left")
    figure.draw_without_rendering()
    plt.close(figure)


@pytest.mark.parametrize(
    ("losses", "scale"),
    [([1.2, 1.1, 1.0], "linear"), ([1.0, 0.1, 0.01], "log"), ([-1.0, 1.0, 9.0], "linear")],
)
def test_ticks_of_the_loss_read_as_plain_numbers(losses, scale):
    figure = plots.plot_recording(
        as_data(watched(steps=3), loss=torch.tensor(losses), trivial_loss=float("nan"))
    )
    figure.draw_without_rendering()
    loss = figure.axes[0]
    assert loss.get_yscale() == scale
    labels = [label.get_text() for label in loss.get_yticklabels() if label.get_text()]
    assert len(labels) > 2
    assert all(re.fullmatch(r"−?[0-9.]+", label) for label in labels)
    plt.close(figure)


def test_a_nearly_constant_loss_looks_constant():
    loss = torch.tensor([2.0, 2.001, 2.0])
    figure = plots.plot_recording(as_data(watched(steps=3), loss=loss, trivial_loss=float("nan")))
    low, high = figure.axes[0].get_ylim()
    assert high - low == pytest.approx(0.1, rel=0.01)
    plt.close(figure)


def test_newer_fields_are_drawn_where_they_are():
    newer = {
        "loss_steps": torch.arange(30),
        "loss_curve": torch.linspace(3, 1, 30),
        "constant_loss": torch.tensor([2.3, 2.2, 2.3, 2.1, 2.3, 2.2]),
        "output_spread": torch.full((6,), 0.5),
        "output_rms": torch.full((6,), 2.0),
    }
    figure = plots.plot_recording(as_data(watched(steps=6), **newer))
    loss, _, _, shares = figure.axes
    dashed, curve = loss.lines
    assert (dashed.get_linestyle(), len(dashed.get_xdata())) == ("--", 6)
    assert len(curve.get_xdata()) == 30
    assert shares.get_xlim()[1] > 29
    (spread,) = [line for line in shares.lines if line.get_label() == "spread"]
    assert list(spread.get_ydata()) == [0.25] * 6
    assert "outputs spread by 0.25 of their RMS" in plots.sentence(figure)
    plt.close(figure)


def test_a_page_looks_the_same_under_any_style_of_its_reader():
    recording, pictures = watched(steps=3).recording, []
    for theirs in ("default", "dark_background"):
        with plt.style.context(theirs):
            figure = plots.plot_recording(recording)
        picture = io.BytesIO()
        with plt.style.context("default"):
            figure.savefig(picture, dpi=50)
        plt.close(figure)
        pictures.append(picture.getvalue())
    assert pictures[0] == pictures[1]


def test_median_and_band_over_seeds():
    median, (low, high) = plots.median_and_band(torch.arange(11.0).expand(3, 11), dim=1)
    assert median.tolist() == [5, 5, 5]
    assert (low.tolist(), high.tolist()) == ([1, 1, 1], [9, 9, 9])


def test_arrows_are_drawn_as_large_as_the_longest(ax):
    assert plots.plot_vectors(ax, [[3.0, 4.0], [0.0, 0.5]]) is ax
    assert "the longest is 5, the shortest 5e-01" in plots.sentence(ax.figure)
    plots.plot_vectors(ax, np.zeros((3, 2)))


def test_rough_sentences_hold_no_digits(ax):
    measured = {"a": [1.0, 30.0], "b": [1.0, 0.01], "c": [1.0, 2.0]}
    plots.plot_against_theory(ax, [1, 2], measured, rough=True)
    assert "a rises; b falls; c stays within a factor of 10" in plots.sentence(ax.figure)


def test_labels_of_lines_that_end_together_are_all_shown(ax):
    runs = {"one": [1.0, 1e5], "same": [1.0, 1e5], "again": [1.0, 1e5]}
    plots.plot_history(ax, runs)
    ax.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert len(boxes) == 3
    assert all(text.get_annotation_clip() is False for text in ax.texts)
    assert not any(a.overlaps(b) for k, a in enumerate(boxes) for b in boxes[:k])


def test_counts_of_ten_in_words():
    assert plots.how_many([0, 2, 3, 7, 8, 10]) == ["few", "few", "some", "some", "most", "most"]
    assert plots.how_many(np.array([9])) == ["most"]


def test_counts_on_a_logarithmic_axis_are_named_where_they_are():
    _, ax = plt.subplots()
    plots.plot_against_theory(ax, [4, 8, 64], {"a": [1.0, 2.0, 3.0]}, log="x")
    assert [label.get_text() for label in ax.get_xticklabels()] == ["4", "8", "64"]
    _, ax = plt.subplots()
    plots.plot_against_theory(ax, [0.1, 1.5], {"a": [1.0, 2.0]}, log="x")
    assert "1.5" not in [label.get_text() for label in ax.get_xticklabels()]


@pytest.mark.parametrize(
    ("heights", "shown"),
    [([0.3, 3.0], {"0.6", "1", "2"} if NEW_TICKS else {"1"}), ([1e-6, 1.0], {"10⁻²"})],
)
def test_a_short_logarithmic_axis_has_plain_numbers(heights, shown):
    figure, ax = plt.subplots()
    plots.plot_against_theory(ax, [0.5, 1.5], {"a": heights}, log="y")
    plots.finish(ax, "A title", "x", "y")
    figure.draw_without_rendering()
    labels = {label.get_text() for label in ax.get_yticklabels(which="both")}
    assert shown <= labels


def test_a_long_logarithmic_axis_has_powers_as_text_and_no_small_ticks():
    figure, ax = plt.subplots()
    ax.set(yscale="log", ylim=(1e-5, 1e5))
    plots.plain_ticks(ax)
    figure.canvas.draw()
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert {"10⁻⁵", "10⁻¹", "10³"} <= set(labels)
    assert not any("$" in label for label in labels)
    assert ax.yaxis.get_minorticklocs().size == 0
    plt.close(figure)


@pytest.mark.parametrize(("x", "said"), [(2e-5, "2×10⁻⁵"), (-1e-6, "−10⁻⁶"), (1e12, "10¹²"), (0.0, "0")])
def test_a_power_is_written_out(x, said):
    figure, ax = plt.subplots()
    ax.set(yscale="log", ylim=(1e-6, 2e-5))
    plots.plain_ticks(ax)
    assert ax.yaxis.get_minor_formatter()(x) == said
    plt.close(figure)


def run_in_a_kernel(*sources):
    """The cells of a notebook as JupyterLab runs it, with its outputs."""
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    client = NotebookClient(nbformat.v4.new_notebook(cells=cells), timeout=120, kernel_name="python3")
    client.execute(env={name: value for name, value in os.environ.items() if name != "MPLBACKEND"})
    return cells


ONCE = """
from matplotlib.figure import Figure
import gradutils.course
from gradutils import plots
import matplotlib.pyplot as plt
drawn, usual = [], Figure.draw
Figure.draw = lambda figure, renderer: (drawn.append(1), usual(figure, renderer))[1]
plots.use_style()
fig, ax = plt.subplots()
plots.finish(ax, "A line", "step", "loss")
"""


def test_a_figure_that_a_cell_leaves_is_drawn_once_and_shown():
    cells = run_in_a_kernel(ONCE, "print(len(drawn))")
    assert cells[0].outputs[0].data["text/plain"] == "A line."
    assert cells[1].outputs[0].text.strip() == "1"


OUTSIDE = """
import gradutils.course
import matplotlib.pyplot as plt
fig, ax = plt.subplots(figsize=(2, 2))
words = ax.text(3, 0.5, "far to the right of the axes")
"""


def test_a_figure_without_a_layout_is_shown_with_what_lies_outside():
    cells = run_in_a_kernel(OUTSIDE, "empty = plt.figure()")
    width, height = Image.open(io.BytesIO(b64decode(cells[0].outputs[0].data["image/png"]))).size
    assert width > 2 * height
    assert not any("image/png" in output.get("data", {}) for output in cells[1].outputs)


def test_colours_and_markers_can_be_chosen():
    _, ax = plt.subplots()
    plots.plot_against_theory(ax, [1, 2], {"a": [1.0, 2.0]}, colours=[plots.REFERENCE], marker="")
    assert ax.lines[0].get_color() == plots.REFERENCE
    assert ax.lines[0].get_marker() == ""
    _, ax = plt.subplots()
    plots.plot_depth_profile(ax, {"a": [1.0, 1.0]}, colours={"a": plots.SECOND})
    assert ax.lines[0].get_color() == plots.SECOND


def test_the_sentence_speaks_of_theory_only_where_there_is_one():
    figure, ax = plt.subplots()
    plots.plot_against_theory(ax, [1, 2], {"a": [1.0, 2.0]})
    assert "theory" not in plots.sentence(figure)


def recorded(lr, steps=12, cosine=True):
    x, y, _, _ = digits()
    model = init_weights_(mlp(3, 32), 2**0.5, generator=torch.Generator().manual_seed(0))
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    with Recorder(model, every=1, cosine=cosine) as recorder:
        for k in range(steps):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(x[32 * k :][:32]), y[32 * k :][:32])
            loss.backward()
            optimizer.step()
            recorder.step(loss)
    return recorder


@pytest.mark.parametrize(("lr", "ends"), [(0.1, "ends"), (1e-9, "does not end"), (1e6, "does not end")])
def test_a_chart_has_six_panels_and_a_sentence_without_digits(lr, ends):
    figure = plots.plot_chart(recorded(lr, 30))
    titles = [ax.get_title() for ax in figure.axes]
    assert titles[:3] == [
        "Loss; dashed: that of a constant answer",
        "Update / weight, matrix by matrix",
        "Cosine of each gradient with the last",
    ]
    assert all(re.search(r"\b(RMS|Norm)\b", title) for title in titles[3:])
    legend = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert legend == ["all", "median", "above 0.3"]
    assert len(figure.axes) == 6
    assert (
        plots.sentence(figure)
        == f"A chart: the loss starts near that of a constant answer and {ends} far below it."
    )
    left, right = figure.axes[3].get_xlim()
    assert left > right  # the inputs stand at the left


def test_a_chart_can_be_drawn_of_one_record_and_without_the_cosine():
    plots.plot_chart(recorded(0.1, 1, cosine=False))
    with pytest.raises(ValueError, match="nothing was recorded"):
        plots.plot_chart(recorded(0.1, 0))


def test_nearly_equal_sizes_look_nearly_equal(ax):
    ax.semilogy([1.0, 1.1])
    plots.widen_to(ax, 3)
    low, high = ax.get_ylim()
    assert high / low == pytest.approx(1000)
    ax.set_ylim(1e-9, 1)
    plots.widen_to(ax, 3)
    assert ax.get_ylim() == (1e-9, 1)


def test_a_guide_joins_the_rows_of_one_symptom():
    rows = [("leaps", "a", "b", "S1"), ("leaps", "c", "d", "S2"), ("flat", "e", "f", "S3")]
    figure = plots.plot_guide(rows)
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts.count("leaps") == 1
    assert {"a", "b", "c", "d", "e", "f", "flat"} <= set(texts)
    assert "S1" not in texts  # the evidence has a table of its own
    assert plots.sentence(figure) == "A flow chart of 3 ways from 2 symptoms over a measurement to a remedy."


def test_a_figure_is_presented_once_and_closed(capsys):
    figure = plots.plot_guide([("a", "b", "c", "S1")])
    show(figure)
    assert "A flow chart of 1 ways" in capsys.readouterr().out
    assert not plt.fignum_exists(figure.number)


def test_a_chart_on_a_figure_that_held_another_is_the_chart_itself():
    """Nothing of the one before is left, whatever was drawn: lines that end, empty panels, other scales."""
    runs = [recorded(lr, 30) for lr in (0.1, 1e6, 0.0)]
    pixels = lambda figure: (figure.canvas.draw(), np.asarray(figure.canvas.buffer_rgba()).copy())[1]  # noqa: E731
    used = plots.plot_chart(runs[-1])
    for run in runs:
        fresh = plots.plot_chart(run)
        assert (pixels(plots.plot_chart(run, used)) == pixels(fresh)).all()
        plt.close(fresh)
    plt.close(used)
