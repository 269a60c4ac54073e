"""A prediction is kept until it is settled, and a page tells what was done."""

from collections import Counter

import pytest

from gradutils.course.certificate import certificate
from gradutils.course.progress import Prediction, read, record_pass, record_settled
from gradutils.course.quiz import predict, reveal
from tests.test_progress import logged

# Predictions -----------------------------------------------------------------------------------------------------------
OPTIONS = ["up", "down", "neither"]


def test_a_prediction_is_kept_changed_and_settled(home, capsys):
    predict("77.a", "Which way?", OPTIONS, choice="a")
    predict("77.a", "Which way?", OPTIONS, choice="down")
    assert read().predictions["77.a"] == Prediction("down")
    reveal("77.a", "up", "It was measured.")
    assert "Predicted: down" in capsys.readouterr().out
    assert read().predictions["77.a"] == Prediction("down", False)
    reveal("77.a", "down")
    predict("77.a", "Which way?", OPTIONS, choice="up")  # too late
    assert read().predictions["77.a"] == Prediction("down", False)
    assert [event["event"] for event in logged(home)] == ["chosen", "chosen", "settled"]


def test_without_a_prediction_the_answer_is_shown(home, capsys):
    predict("77.b", "Which way?", OPTIONS)
    assert "b) down" in capsys.readouterr().out
    reveal("77.b", "up")
    assert "No prediction was made" in capsys.readouterr().out
    assert "77.b" not in read().predictions


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
    for wrong in ("sideways", "a", "d", "", 2, None):
        with pytest.raises(ValueError, match=r"must be one of \['up', 'down', 'neither'\]; got"):
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


def test_a_choice_may_be_a_letter(home, capsys):
    predict("77.e", "Which way?", OPTIONS, choice="b")
    reveal("77.e", "down")
    assert "✓ Measured: down. As predicted." in capsys.readouterr().out


WHY = {"up": "It was too long.", "down": "The sign is lost.", "neither": "It moved."}


def test_each_wrong_option_gets_its_reason_the_chosen_one_first(home, capsys):
    predict("77.g", "Which way?", OPTIONS, choice="neither")
    capsys.readouterr()
    reveal("77.g", "up", "It was measured.", wrong=WHY)
    lines = ["Not “neither”: It moved.", "Not “down”: The sign is lost."]
    assert capsys.readouterr().out.splitlines()[1:] == ["It was measured.", *lines]
    reveal("77.g", "down", wrong=WHY)
    assert capsys.readouterr().out.splitlines()[1:] == [
        "Not “neither”: It moved.",
        "Not “up”: It was too long.",
    ]


@pytest.mark.parametrize("missing", ["up", "neither"])
def test_a_wrong_option_without_its_reason_is_an_error(home, missing):
    predict("77.h", "Which way?", OPTIONS)
    some = {option: why for option, why in WHY.items() if option != missing}
    with pytest.raises(ValueError, match="wrong must hold a sentence for each of"):
        reveal("77.h", "down", wrong=some)
    with pytest.raises(ValueError, match="wrong must hold a sentence for each of"):
        reveal("77.h", "down", wrong=WHY | {"sideways": "No option."})
    reveal("77.h", missing, wrong=some)  # the measured one needs none


# The buttons -----------------------------------------------------------------------------------------------------------
def test_buttons_stand_in_the_learners_own_order(notebook, monkeypatch):
    places = Counter()
    for number in range(60):
        monkeypatch.setenv("GRADUTILS_HOME", str(notebook / str(number)))
        shown = predict("77.a", "Which way?", OPTIONS).buttons.options
        assert sorted(shown) == sorted(OPTIONS)
        assert predict("77.a", "Which way?", OPTIONS).buttons.options == shown  # in every kernel the same
        places[shown.index("up")] += 1
    assert all(places[k] > 8 for k in range(3)), places
    orders = {predict(f"77.{letter}", "Which way?", OPTIONS).buttons.options for letter in "abcdefgh"}
    assert len(orders) > 1


def test_letters_and_the_text_keep_the_order_given(notebook):
    asked = predict("77.a", "Which way?", OPTIONS, choice="c")
    assert asked.buttons.value == "neither"
    asked_in_words, how = asked._repr_mimebundle_()["text/plain"].rsplit("\n", 1)
    assert asked_in_words == "Predict 77.a: Which way?\n  a) up\n  b) down\n  c) neither"
    assert 'choice="a"' in how
    asked.buttons.value = "up"
    assert read().predictions["77.a"] == Prediction("up")


# The page of results ---------------------------------------------------------------------------------------------------
def test_the_certificate_counts_what_was_done(home, tmp_path):
    record_pass("01.1")
    record_pass("12.4")
    record_settled("00.a", "a", True)
    record_settled("01.a", "b", False)
    page = certificate("Ada <b>")
    assert "Exercises passed: 1 of " in page.text
    assert "Patients healed: 1 of 23" in page.text
    assert "Predictions settled: 2, of which 1 were right" in page.text
    assert "Ada &lt;b&gt;" in page.html
    path = tmp_path / "results.html"
    kept = certificate("Ada", path)
    assert f"Kept as {path}" in kept.text
    assert "Patients healed: 1 of 23" in path.read_text(encoding="utf-8")
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
