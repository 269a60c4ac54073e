"""Progress is one small file; nothing that happens to it is a traceback, and nothing is lost."""

import json
import os
import subprocess
import sys
import threading
from importlib import import_module

import pytest

from gradutils.course.certificate import certificate
from gradutils.course.progress import changing, progress, progress_file, read, record_pass
from gradutils.course.quiz import predict, reveal

module = import_module("gradutils.course.progress")  # the face has a function of this name


def test_the_first_day(home):
    assert read() == {"exercises": {}, "predictions": {}}
    record_pass("01.1")
    assert progress_file() == home / "progress.json"
    assert list(json.loads(progress_file().read_text())["exercises"]) == ["01.1"]
    assert [path.name for path in home.iterdir() if path.suffix != ".lock"] == ["progress.json"]


@pytest.mark.parametrize(
    "damage",
    ["", "{", "null", "[]", "3", '{"exercises": []}', '{"exercises": {}, "predictions": {"00.a": 3}}', "[" * 100_000,
     "\x00\x01", '{"exercises": {"01.1": "2026-01-01"}'],
)  # fmt: skip
def test_a_damaged_file_is_set_aside_with_a_sentence(home, capsys, damage):
    home.mkdir()
    progress_file().write_text(damage)
    assert read() == {"exercises": {}, "predictions": {}}
    assert "set aside" in capsys.readouterr().out
    (aside,) = home.glob("progress.damaged-*.json")
    assert aside.read_text() == damage
    record_pass("00.1")
    assert list(read()["exercises"]) == ["00.1"]


def test_bytes_that_are_no_text_are_set_aside(home, capsys):
    home.mkdir()
    progress_file().write_bytes(b"\xff\xfe\x00{")
    assert read()["exercises"] == {}
    assert "set aside" in capsys.readouterr().out


@pytest.mark.skipif(os.name == "nt", reason="folder permissions work otherwise there")
def test_where_nothing_can_be_written_the_sitting_counts(home, capsys, monkeypatch):
    home.parent.mkdir(exist_ok=True)
    home.write_text("a file where the folder should be")
    record_pass("01.1")
    assert "until this kernel stops" in capsys.readouterr().out
    record_pass("01.2")
    assert capsys.readouterr().out == ""  # said once
    assert list(read()["exercises"]) == ["01.1", "01.2"]
    assert "✓ 01.1" in str(progress("01"))
    home.unlink()
    record_pass("01.3")  # now it can be written, and what has waited is written with it
    assert list(json.loads(progress_file().read_text())["exercises"]) == ["01.1", "01.2", "01.3"]
    assert module._waiting is None


def test_a_lock_that_another_program_holds_delays_nothing_for_good(home, capsys):
    record_pass("01.1")
    with module._lock():
        record_pass("01.2")
    assert "just now" in capsys.readouterr().out
    assert list(read()["exercises"]) == ["01.1", "01.2"]
    record_pass("01.3")
    assert list(json.loads(progress_file().read_text())["exercises"]) == ["01.1", "01.2", "01.3"]


def test_odd_but_sound_files_are_kept(home, capsys):
    home.mkdir()
    progress_file().write_text(
        json.dumps({"exercises": {"00.1": "2026-01-01"}, "predictions": {}}), encoding="utf-8-sig"
    )
    assert list(read()["exercises"]) == ["00.1"]
    progress_file().write_text('{"exercises": {}, "predictions": {"00.b": {"choice": "\\udc80"}}}')
    record_pass("01.1")
    assert json.loads(progress_file().read_text())["predictions"]["00.b"]["choice"] == "\udc80"
    assert capsys.readouterr().out == ""


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_link_stays_a_link(home, tmp_path):
    home.mkdir()
    (tmp_path / "elsewhere.json").write_text('{"exercises": {}, "predictions": {}}')
    progress_file().symlink_to(tmp_path / "elsewhere.json")
    record_pass("01.1")
    assert progress_file().is_symlink()
    assert "01.1" in (tmp_path / "elsewhere.json").read_text()


def test_a_folder_in_its_place_is_a_sentence(home, capsys):
    progress_file().mkdir(parents=True)
    record_pass("01.1")
    assert "is not a file" in capsys.readouterr().out
    assert list(read()["exercises"]) == ["01.1"]


def test_an_interrupted_write_leaves_the_old_file(home, monkeypatch):
    record_pass("01.1")

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(module.os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        record_pass("01.2")
    monkeypatch.undo()
    os.environ["GRADUTILS_HOME"] = str(home)
    assert list(json.loads((home / "progress.json").read_text())["exercises"]) == ["01.1"]
    assert not list(home.glob("*.tmp"))


def test_two_kernels_lose_nothing(home):
    code = "import sys\nfrom gradutils.course.progress import record_pass\nfor k in range(30): record_pass(f'{sys.argv[1]}.{k}')"
    environment = os.environ | {"GRADUTILS_HOME": str(home)}
    kernels = [subprocess.Popen([sys.executable, "-c", code, name], env=environment) for name in ("a", "b")]
    assert [kernel.wait(120) for kernel in kernels] == [0, 0]
    assert len(read()["exercises"]) == 60


def test_threads_lose_nothing(home):
    threads = [threading.Thread(target=record_pass, args=(f"t.{k}",)) for k in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read()["exercises"]) == 12


def test_unknown_keys_survive(home):
    home.mkdir()
    progress_file().write_text(json.dumps({"exercises": {}, "predictions": {}, "healed": ["patient 3"]}))
    record_pass("01.1")
    assert json.loads(progress_file().read_text())["healed"] == ["patient 3"]


def test_the_table(home):
    record_pass("01.1")
    with changing() as state:
        state["predictions"]["01.a"] = {"choice": "it grows", "right": True}
        state["predictions"]["01.b"] = {"choice": "higher"}
    text = str(progress())
    assert "✓ 01.1" in text
    assert "○ 01.2" in text
    assert "1 of 6" in text
    assert "2 made, 1 of 1 right" in text
    assert "<table" in progress("01")._repr_mimebundle_()["text/html"]
    with pytest.raises(ValueError, match="lesson must be one of"):
        progress("99")
    assert "\n10" not in text
    with changing() as state:  # a lesson without exercises is shown for its predictions
        state["predictions"]["10.a"] = {"choice": "at most 7"}
    assert str(progress("10")).splitlines()[-1].split() == ["10", "1", "made"]


# Predictions -----------------------------------------------------------------------------------------------------------
OPTIONS = ["up", "down", "neither"]


def test_a_prediction_is_kept_changed_and_settled(home, capsys):
    predict("77.a", "Which way?", OPTIONS, choice="a")
    predict("77.a", "Which way?", OPTIONS, choice="down")
    assert read()["predictions"]["77.a"] == {"choice": "down"}
    reveal("77.a", "up", "It was measured.")
    assert "Predicted: down" in capsys.readouterr().out
    assert read()["predictions"]["77.a"] == {"choice": "down", "right": False}
    predict("77.a", "Which way?", OPTIONS, choice="up")  # too late
    assert read()["predictions"]["77.a"] == {"choice": "down", "right": False}


def test_without_a_prediction_the_answer_is_shown(home, capsys):
    predict("77.b", "Which way?", OPTIONS)
    assert "b) down" in capsys.readouterr().out
    reveal("77.b", "up")
    assert "No prediction was made" in capsys.readouterr().out
    assert "77.b" not in read()["predictions"]


@pytest.mark.parametrize(
    ("options", "choice"), [(["up"], None), (["up", "up"], None), ([], None), (OPTIONS, "d"), (OPTIONS, "sideways"), (OPTIONS, ""), (OPTIONS, 2), (OPTIONS, ["a"]), (range(11), "a")]
)  # fmt: skip
def test_bad_questions_are_clear_errors(home, options, choice):
    with pytest.raises(ValueError, match=r"must be|options must"):
        predict("77.c", "Which way?", options, choice=choice)


def test_an_answer_that_was_no_option_is_an_error(home):
    with pytest.raises(ValueError, match="run its predict cell first"):
        reveal("77.d", "a")
    predict("77.d", "Which way?", OPTIONS)
    for wrong in ("sideways", "d", "", 2, None):
        with pytest.raises(ValueError, match="must be a, b, c or one of"):
            reveal("77.d", wrong)


def test_questions_of_numbers_and_with_a_number_for_an_id(home, capsys):
    predict(7, "How many?", [10, 20], choice=20)
    reveal(7, 10)
    assert "Predicted: 20" in capsys.readouterr().out


def test_a_choice_that_is_no_longer_offered_does_not_count(home, capsys):
    predict("77.f", "Which way?", OPTIONS, choice="up")
    predict("77.f", "Which way?", ["left", "right"])
    reveal("77.f", "left")
    assert "No prediction was made" in capsys.readouterr().out


def test_an_answer_may_be_a_letter(home, capsys):
    predict("77.e", "Which way?", OPTIONS, choice="b")
    reveal("77.e", "b")
    assert "✓ Measured: down. As predicted." in capsys.readouterr().out


def test_the_certificate_counts_what_was_done(home, tmp_path):
    record_pass("01.1")
    record_pass("09.4")
    with changing() as state:
        state["predictions"] |= {
            "00.a": {"choice": "a", "right": True},
            "01.a": {"choice": "b", "right": False},
        }
    page = certificate("Ada <b>")
    assert "Exercises passed: 1 of " in page.text
    assert "Patients healed: 1 of 15" in page.text
    assert "Predictions settled: 2, of which 1 were right" in page.text
    assert "Ada &lt;b&gt;" in page.html
    path = tmp_path / "results.html"
    kept = certificate("Ada", path)
    assert f"Kept as {path}" in kept.text
    assert "Patients healed: 1 of 15" in path.read_text(encoding="utf-8")
    certificate("Eve", path)  # an older page of results may go
    assert "Eve" in path.read_text(encoding="utf-8")


def test_the_certificate_overwrites_nothing_else(home, tmp_path):
    other = tmp_path / "index.html"
    other.write_text("mine")
    with pytest.raises(ValueError, match="another file, which is left as it is"):
        certificate("Ada", other)
    assert other.read_text() == "mine"
    with pytest.raises(ValueError, match=r"must end in \.html"):
        certificate("Ada", tmp_path / "results.txt")


def test_the_first_certificate_is_empty(home):
    assert "Exercises passed: 0 of " in certificate().text
    assert "From" not in certificate().text
