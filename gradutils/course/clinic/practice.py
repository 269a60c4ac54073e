"""Cases to practise on: new patients by their charts alone, and a gallery of loss curves."""

import math
from functools import cache

import torch
from matplotlib import pyplot as plt

from gradutils import plots
from gradutils.course.clinic.chart import as_it_came, show_chart
from gradutils.course.clinic.drawn import HARD, random_patient
from gradutils.course.clinic.illnesses import THE_NAMES, named, no_such
from gradutils.course.clinic.patient import HEALTHY
from gradutils.course.clinic.patients import PATIENTS
from gradutils.course.display import BLUE, GREY, ORANGE, Card, block, paragraphs, show, table
from gradutils.course.progress import read, record_guess
from gradutils.recorder import diagnose

# The gallery -----------------------------------------------------------------------------------------------------------
GALLERY = {
    letter: f"12.{number}"
    for letter, number in zip("ABCDEFGHIJK", (9, 4, 11, 2, 7, 5, 1, 10, 3, 8, 13), strict=True)
}


@cache
def _curve(letter: str) -> torch.Tensor:
    return torch.tensor(as_it_came(PATIENTS[GALLERY[letter]]).losses)


def gallery() -> None:
    """Eleven loss curves of patients you have met, in another order."""
    figure, axes = plt.subplots(3, 4, figsize=(9.6, 5.4), sharex=True, layout="none")
    figure.subplots_adjust(left=0.06, right=0.99, bottom=0.05, top=0.94, wspace=0.25, hspace=0.35)
    for ax, letter in zip(axes.flat, GALLERY, strict=False):
        plots.plot_history(
            ax, {"": _curve(letter)}, colours={"": plots.STABLE}, xlabel="", ylabel="", limit=math.inf
        )
        ax.axhline(math.log(10), color=plots.REFERENCE, linestyle="--", linewidth=1)
        ax.set_title(letter)
        plots.widen_to(ax, 1)
        plots.plain_ticks(ax)
    axes.flat[-1].set_axis_off()
    axes[1, 3].tick_params(labelbottom=True)  # below it is no other panel
    said = "Eleven small panels, A to K: the loss over 100 steps, and dashed that of a constant answer."
    show(plots.caption(figure, said))
    _tell(
        f"The names, each once: {', '.join(sorted(PATIENTS[key].treatment[0][0] for key in GALLERY.values()))}."
    )


def name_curves(answer) -> None:
    """Count how many of the eleven curves were named right. ``answer`` maps a letter to an illness."""
    if not isinstance(answer, dict) or any(name is ... for name in answer.values()):
        _tell('○ Not attempted: give a dictionary, such as {"A": "dead signal", "B": "saturated"}.')
        return
    unknown = [f"There is no curve {str(key)[:60]!r}." for key in answer if key not in GALLERY]
    unknown += [no_such(name) for name in answer.values() if named(name) is None]
    given = [named(name) for name in answer.values()]
    unknown += [
        f"Each name stands once; “{name}” stands {given.count(name)} times."
        for name in given
        if given.count(name) > 1
    ]
    if unknown:
        _tell(unknown[0], ORANGE)
        return
    truth = {letter: PATIENTS[patient_id].causes[0] for letter, patient_id in GALLERY.items()}
    right = [letter for letter in truth if named(answer.get(letter)) in truth[letter]]
    _tell(f"{len(right)} of {len(truth)} named right: {', '.join(right) or 'none'}.", BLUE)


def _tell(said: str, colour: str = GREY) -> None:
    show(Card(said, paragraphs(said), colour))


# New patients ----------------------------------------------------------------------------------------------------------
TEN = (1, 2, 3, 4, 5, 101, 102, 103, 104, 105)  # five that are clearly ill, five that are harder
FORM = 'Give a dictionary that grows by one name at a time, such as {1: "dead signal", 2: "healthy"}.'


def consult(answer=...) -> None:
    """Ten new patients by their charts alone, one after the other: ``answer`` maps numbers to names, and grows.

    Says of each that is named what it has and what `diagnose` said, and shows the chart of the next.
    """
    names = {} if answer is ... else answer
    if not isinstance(names, dict):
        _tell(f"○ Not attempted. {FORM}")
        return
    names = {number: name for number, name in names.items() if name is not ...}
    strange = [number for number in names if number not in TEN]
    unknown = [name for name in names.values() if named(name) is None]
    if strange or unknown:
        here = (
            f"There is no patient {str(strange[:1])[1:-1][:60]} here; there are {', '.join(map(str, TEN))}."
        )
        _tell(here if strange else no_such(unknown[0]), ORANGE)
        return
    found = [_judged(number, named(names[number])) for number in TEN if number in names]
    if found:
        table({head: [row[head] for row in found] for head in found[0]})
        _show_lines(list(names)[-1])
    waiting = next((number for number in TEN if number not in names), None)
    if waiting is None:
        hit_rate()
    else:
        show_chart(f"New patient {waiting}", random_patient(waiting).recording)
        _tell(f"○ Name new patient {waiting}. {THE_NAMES}")


def admit(number: int, illness=...) -> None:
    """Show the chart of a new patient, without its script, and judge the name given to it: any whole number is a patient.

    From 100 on they are harder.
    """
    if not isinstance(number, int) or isinstance(number, bool):
        raise ValueError(f"a new patient's number is a whole number; got {number!r}")
    show_chart(f"New patient {number}", random_patient(number).recording)
    if illness is ...:
        _tell(f"○ Not attempted: name the illness. {THE_NAMES}")
    elif named(illness) is None:
        _tell(no_such(illness), ORANGE)
    else:
        row = _judged(number, named(illness))
        mark = "✓" if row["right"] else "✗"
        said = (
            f"{mark} It is {row['it is']}. You said {row['you said']}, diagnose said {row['diagnose said']}."
        )
        _tell(said, BLUE if row["right"] else ORANGE)
        _show_lines(number)


def _judged(number: int, illness: str) -> dict:
    """A row of what is true and what was said. The first name counts, and is kept beside that of `diagnose`."""
    patient = random_patient(number)
    machine, right = diagnose(patient.recording).illness, illness in patient.names
    record_guess(number, right, machine in patient.names)
    row = {"patient": number, "it is": patient.illness, "you said": illness}
    return row | {"right": right, "diagnose said": machine}


def _show_lines(number: int) -> None:
    """The lines in which a new patient's script differs from the healthy one."""
    lines = enumerate(random_patient(number).script, start=1)
    differ = [f"{k:>3}  {line}" for k, line in lines if line != HEALTHY[k - 1]]
    text = "\n".join([f"New patient {number}: where its script differs", *differ])
    show(Card(text, block(text)))


def hit_rate() -> None:
    """How often you and `diagnose` were right, first names only: of the ward, of new patients, and of the harder ones."""
    made = read().guesses
    new = [key for key in made if key not in PATIENTS]
    hard = [key for key in new if key.isdecimal() and int(key) >= HARD]
    rows = {
        "the ward": [key for key in made if key in PATIENTS],
        "new": [key for key in new if key not in hard],
        "harder": hard,
    }
    table(
        {
            "patients": list(rows),
            "named": [len(keys) for keys in rows.values()],
            "you": [sum(made[key].right for key in keys) for keys in rows.values()],
            "diagnose": [sum(made[key].diagnose for key in keys) for keys in rows.values()],
        }
    )
