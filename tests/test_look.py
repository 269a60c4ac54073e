"""What an engineer looks at: the figure that is redrawn while training runs, the report, the logs, the command."""

import dataclasses
import os
import subprocess
import sys
from base64 import b64decode
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
import torch
from nbclient import NotebookClient
from torch import nn

from gradutils.recorder import Recorder, diagnose
from gradutils.recorder.__main__ import main
from gradutils.recorder.live import Nothing, live
from gradutils.recorder.logs import log_to
from gradutils.recorder.report import report, write_report

ROOT = Path(__file__).parent.parent


def train(model=None, steps=30, spoil=None, lr=0.1, after=lambda recorder, count: None, **options):
    """A recorder of a small run; ``spoil`` changes the inputs of a step, ``after`` is called after each."""
    torch.manual_seed(0)
    model = model or nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
    x, y = torch.randn(64, 8), torch.randint(3, (64,))
    optimizer = torch.optim.SGD(model.parameters(), lr)
    with Recorder(model, every=1, **options) as recorder:
        for k in range(steps):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(spoil(k, x.clone()) if spoil else x), y)
            loss.backward()
            optimizer.step()
            recorder.step(loss, lr=lr)
            after(recorder, k + 1)
    return recorder


def nan_at(step):
    return lambda k, x: x.fill_(torch.nan) if k == step else x


# The figure that is redrawn while training runs.
CELL = """
import torch
from torch import nn
from gradutils.recorder import Recorder
from gradutils.recorder.live import live

model, x = nn.Linear(4, 1), torch.randn(8, 4)
optimizer = torch.optim.SGD(model.parameters(), 0.1)
with Recorder(model, every=1) as recorder:
    page = live(recorder, 5, budget=1)
    for k in range(23):
        optimizer.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        optimizer.step()
        recorder.step(loss)
        page.after_step(k + 1)
    page.finish()
"""


class Listener(NotebookClient):
    """A client that keeps what a kernel sent."""

    def process_message(self, msg, cell, cell_index):
        self.sent = [*getattr(self, "sent", []), msg]
        return super().process_message(msg, cell, cell_index)


def test_in_a_notebook_one_output_is_updated_in_place():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    client = Listener(notebook, timeout=120, kernel_name="python3")
    client.execute()
    sent = [msg for msg in client.sent if msg["msg_type"] not in ("status", "execute_input")]
    assert [msg["msg_type"] for msg in sent] == ["display_data"] + 4 * ["update_display_data"]
    assert len({msg["content"]["transient"]["display_id"] for msg in sent}) == 1
    (output,) = notebook.cells[0].outputs
    assert output.data["text/plain"].startswith("23 records: loss from")
    assert output.metadata["image/png"]["alt"] == output.data["text/plain"]


def test_without_a_notebook_it_says_so_once_and_draws_nothing(capsys):
    pages = []

    def after(recorder, count):
        if not pages:
            pages.append(live(recorder, 5))
        pages[0].after_step(count)

    train(after=after)
    pages[0].finish()
    assert isinstance(pages[0], Nothing)
    printed = capsys.readouterr()
    assert printed.out == (
        "live: this is no notebook, so no figure is drawn; plot_recording(recorder) draws one.\n"
    )
    assert not printed.err


@pytest.fixture
def kernel(monkeypatch):
    """A notebook in which displaying takes a second of a clock that nothing else moves; what it was sent."""
    clock, sent = [0.0], []

    def show(data, **_):
        clock[0] += 1
        sent.append(data)

    def display(data, **options):
        show(data, **options)
        return SimpleNamespace(update=show)

    monkeypatch.setattr("gradutils.recorder.live.in_kernel", lambda: True)
    monkeypatch.setattr("IPython.display.display", display)
    monkeypatch.setattr("gradutils.recorder.live.time", SimpleNamespace(perf_counter=lambda: clock[0]))
    return SimpleNamespace(clock=clock, sent=sent)


def test_drawing_takes_no_more_than_its_share_of_the_time(kernel):
    pages, counts = [], []

    def after(recorder, count):
        pages.append(pages[0] if pages else live(recorder, 2, budget=0.1))
        kernel.clock[0] += 1  # a step takes a second, and so does a drawing
        before = len(kernel.sent)
        pages[0].after_step(count)
        counts.extend([count] * (len(kernel.sent) - before))

    train(steps=40, after=after)
    assert counts == [2, 12, 22, 32]  # nine seconds of ten between drawings
    pages[0].finish()
    pages[0].finish()  # there is nothing new
    assert len(kernel.sent) == 5
    assert kernel.sent[-1]["text/plain"].startswith("40 records")


def test_an_error_in_drawing_ends_the_drawing_and_not_the_training(kernel, monkeypatch):
    def broken(*_):
        raise RuntimeError("no room")

    monkeypatch.setattr("gradutils.plots.picture_of", broken)
    pages = []

    def after(recorder, count):
        pages.append(pages[0] if pages else live(recorder, 1, budget=1))
        pages[0].after_step(count)

    with pytest.warns(UserWarning, match="not drawn any more: RuntimeError: no room") as said:
        recorder = train(steps=9, after=after)
    assert len(recorder.recording) == 9
    assert len(said) == 1


def test_a_figure_of_nothing_yet_is_not_drawn(kernel):
    live(Recorder(nn.Linear(2, 1)), 1).after_step(1)
    assert kernel.sent == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"every": 0}, "every must be a whole number, 1 or more; got 0"),
        ({"every": 2.5}, "every must be a whole number"),
        ({"budget": 0}, "budget must be above 0 and at most 1; got 0"),
    ],
)
def test_options_of_live_out_of_range_are_said(options, said):
    with pytest.raises(ValueError, match=said):
        live(None, **options)


# Writers that the engineer has opened.
class Board:
    """What TensorBoard's SummaryWriter offers, kept in a list."""

    def __init__(self):
        self.scalars, self.texts = [], []

    def add_scalar(self, tag, value, step):
        self.scalars.append((tag, value, step))

    def add_text(self, tag, text, step):
        self.texts.append((tag, text, step))

    def curve(self, tag):
        return [(step, value) for name, value, step in self.scalars if name == f"recorder/{tag}"]


class Run:
    """A run of W&B: rows by step, one that is open, and nothing kept of what comes late."""

    def __init__(self):
        self.step, self.rows, self.lost, self.axes = 0, {}, [], {}

    def define_metric(self, name, step_metric):
        self.axes[name] = step_metric

    def log(self, values, step=None):
        if step is not None and step < self.step:
            self.lost.append(values)
            return
        self.step = self.step if step is None else step
        row = self.rows.setdefault(self.step, {})
        self.lost += [{name: row[name]} for name in row.keys() & values.keys()]
        row.update(values)
        self.step += step is None

    def curve(self, tag):
        rows = [row for row in self.rows.values() if f"recorder/{tag}" in row]
        return sorted((row["recorder/step"], row[f"recorder/{tag}"]) for row in rows)


@pytest.mark.parametrize("writer", [Board, Run])
def test_each_record_is_sent_once_whenever_it_is_read(writer):
    writer = writer()
    log = log_to(writer)

    def after(recorder, count):
        if count in (1, 2, 20):
            log.send(recorder.recording)
            log.send(recorder.recording)

    r = train(after=after).recording
    log.send(r)
    log.finish()
    for tag, values in (("loss", r.loss), ("lr", r.lr), ("gradient_norm", r.total_grad_norm)):
        assert writer.curve(tag) == list(enumerate(values.tolist()))
    assert writer.curve("dead") == list(enumerate(r.dead_fraction.nan_to_num(nan=0.0).amax(1).tolist()))
    assert writer.curve("saturated") == []  # no layer has bounds
    matrices = r.update_ratio[:, [0, 2]].amax(1)
    assert writer.curve("largest_update_ratio") == list(enumerate(matrices.tolist()))


@pytest.mark.parametrize("writer", [Board, Run])
def test_the_first_bad_place_is_sent_as_text_once(writer):
    writer = writer()
    log = log_to(writer)
    r = train(spoil=nan_at(7), after=lambda recorder, _: log.send(recorder.recording)).recording
    log.finish()
    said = f"{r.first_nonfinite}, step 7"
    if isinstance(writer, Board):
        assert writer.texts == [("recorder/first_nonfinite", said, 7)]
    else:
        assert writer.curve("first_nonfinite") == [(7, said)]
    assert [step for step, value in writer.curve("loss") if value != value] == list(range(7, 30))


# How an engineer may count: not at all, one call a step, several, in steps of another unit, rarely.
THEIRS = {
    "nothing": lambda run, k: None,
    "steps": lambda run, k: run.log({"theirs": k}, step=k),
    "no steps": lambda run, k: run.log({"theirs": k}),
    "two calls": lambda run, k: [run.log({"theirs": k}), run.log({"mine": k})],
    "samples": lambda run, k: run.log({"theirs": k}, step=64 * k),
    "rarely": lambda run, k: run.log({"theirs": k}, step=64 * k) if k % 10 == 0 else None,
}


@pytest.mark.parametrize("often", [1, 8])
@pytest.mark.parametrize("theirs", THEIRS.values(), ids=THEIRS)
def test_nothing_is_lost_however_the_engineer_counts_steps(theirs, often):
    run = Run()
    log = log_to(run)

    def after(recorder, count):
        theirs(run, count - 1)
        if count % often == 0:
            log.send(recorder.recording)

    r = train(after=after).recording
    log.send(r)
    log.finish()
    assert run.lost == []
    assert run.curve("loss") == list(enumerate(r.loss.tolist()))
    assert run.axes == {"recorder/*": "recorder/step"}


def test_what_is_no_writer_is_said():
    with pytest.raises(TypeError, match=r"add_scalar\(tag, value, step\).*; got list"):
        log_to([])


def test_the_real_tensorboard_keeps_every_scalar(tmp_path):
    tensorboard = pytest.importorskip("torch.utils.tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with tensorboard.SummaryWriter(tmp_path) as writer:
        log = log_to(writer)
        r = train(spoil=nan_at(20)).recording
        log.send(r)
    events = EventAccumulator(str(tmp_path)).Reload()
    kept = events.Scalars("recorder/gradient_norm")
    assert [event.step for event in kept] == list(range(30))
    assert [event.value for event in kept][:20] == pytest.approx(r.total_grad_norm[:20].tolist())
    assert events.Tags()["tensors"] == ["recorder/first_nonfinite/text_summary"]


# The report, and the command.
class Page(HTMLParser):
    """The tags, the attributes and the words of a page."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.words = [], [], []
        self.feed(page)
        self.text = " ".join("".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_data(self, data):
        self.words.append(data)


HOSTILE = '<img src="//example.org/x" onerror="alert(1)">'


def renamed(recorder, name):
    r = recorder.recording
    return dataclasses.replace(
        r,
        layers=tuple(f"{name}{k}" for k in range(len(r.layers))),
        parameters=tuple(f"{name}{k}" for k in range(len(r.parameters))),
        kinds=(name,) * len(r.kinds),
        loss_kind=name,
        spectral_norms={f"{name}0": 2.0},
    )


@pytest.mark.parametrize("spoil", [None, nan_at(0), nan_at(9)])
def test_a_report_holds_the_diagnosis_the_figure_and_the_tables(spoil, tmp_path):
    r = train(spoil=spoil).recording
    page = Page(write_report(r, tmp_path / "run.html", "run.npz").read_text(encoding="utf-8"))
    found = diagnose(r)
    told = [found.illness, *found.evidence, found.remedy, *found.alternatives]
    if found.alternatives:
        told += found.reruns.values()
    for said in told:
        assert said in page.text
    for line in r.summary().splitlines():
        assert " ".join(line.split()) in page.text
    for name in (*r.layers, *r.parameters, *r.kinds):
        assert name in page.words
    (picture,) = [value for tag, name, value in page.attributes if (tag, name) == ("img", "src")]
    assert b64decode(picture.removeprefix("data:image/png;base64,")).startswith(b"\x89PNG")
    (alt,) = [value for tag, name, value in page.attributes if (tag, name) == ("img", "alt")]
    assert alt.startswith("30 records: loss from")


def test_nothing_in_a_recording_becomes_part_of_the_page():
    plain, hostile = (Page(report(renamed(train(), name), name)) for name in ("plain", HOSTILE))
    assert hostile.tags == plain.tags
    assert [(tag, name) for tag, name, _ in hostile.attributes] == [
        (tag, name) for tag, name, _ in plain.attributes
    ]
    assert HOSTILE in hostile.text
    assert "script" not in hostile.tags
    fetched = [value for _, name, value in hostile.attributes if name in ("src", "href", "srcset", "style")]
    assert [value[:11] for value in fetched] == ["data:image/"]
    assert "default-src 'none'" in report(train().recording)


def command(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "gradutils.recorder", *map(str, arguments)],
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
        **options,
    )


def test_the_command_prints_and_writes_what_was_saved(tmp_path):
    recorder = train(spoil=nan_at(9))
    recorder.save(tmp_path / "run.npz")
    done = command("run.npz", "--report", "run.html", cwd=tmp_path, env=here())
    assert done.returncode == 0, done.stderr
    printed = f"{recorder.summary()}\n\n{diagnose(recorder)}\n\nThe report is in run.html\n"
    assert done.stdout == printed
    assert "<h1>run.npz</h1>" in (tmp_path / "run.html").read_text(encoding="utf-8")


def here(**variables):
    """The environment of a command that runs elsewhere."""
    return os.environ | {"PYTHONPATH": str(ROOT)} | variables


def test_too_few_records_are_shown_without_a_diagnosis(tmp_path, capsys):
    train(steps=1).save(tmp_path / "run.npz")
    assert main([str(tmp_path / "run.npz"), "--report", str(tmp_path / "run.html")]) == 0
    assert "No diagnosis: a diagnosis needs at least 2 recorded steps" in capsys.readouterr().out
    assert "No diagnosis: a diagnosis needs at least 2" in (tmp_path / "run.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda path: None, "run.npz cannot be opened"),
        (lambda path: path.write_bytes(b"no recording"), "run.npz is not a saved recording"),
        (lambda path: path.mkdir(), "run.npz is not a saved recording"),
        (lambda path: np.savez(path, loss=np.ones(3)), "run.npz is not a saved recording"),
    ],
    ids=["nothing", "other bytes", "folder", "other arrays"],
)
def test_a_bad_file_gets_a_sentence_and_exit_status_2(tmp_path, capsys, write, said):
    path = tmp_path / "run.npz"
    write(path)
    assert main([str(path)]) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.err.count("\n") == 1
    assert not printed.out


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("run.npz", "must end in .html"),
        ("nowhere/run.html", "run.html cannot be opened"),
        ("", "must end in"),
    ],
)
def test_a_report_goes_to_no_other_file(tmp_path, capsys, page, said):
    path = tmp_path / "run.npz"
    train(steps=3).save(path)
    before = path.read_bytes()
    assert main([str(path), "--report", str(tmp_path / page)]) == 2
    assert said in capsys.readouterr().err
    assert path.read_bytes() == before


def test_names_from_a_file_do_not_steer_the_terminal(tmp_path, capsys):
    renamed(train(), "\x1b[31m\u202e").save(tmp_path / "run.npz")
    assert main([str(tmp_path / "run.npz")]) == 0
    printed = capsys.readouterr().out
    assert "?[31m?" in printed
    assert printed.replace("\n", "").isprintable()


def test_names_can_be_printed_in_any_encoding(tmp_path):
    renamed(train(), "слой").save(tmp_path / "run.npz")
    done = command(tmp_path / "run.npz", env=here(PYTHONIOENCODING="ascii", PYTHONUTF8="0"))
    assert done.returncode == 0, done.stderr
    assert "????" in done.stdout
