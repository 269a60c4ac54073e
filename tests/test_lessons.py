"""What every lesson keeps to: its limits, what it may import, no number typed in prose, links that lead somewhere."""

import ast
import re
import statistics
from pathlib import Path

import nbformat
import pytest

from gradutils.course.clinic.patients import PATIENTS
from gradutils.course.exercises import all_exercises
from gradutils.course.trials import CLAIMS, EXPECTED, trials
from tests.lesson_form import (
    RULES,
    Lesson,
    in_order,
    tags,
    what_evidence_lacks,
    what_fails_again,
    words_for_counts_are_told,
)
from tools.notebooks import HOST_TAG

ROOT = Path(__file__).parent.parent
NAMES = [path.stem for path in sorted((ROOT / "solutions").glob("*.py"))]
NEW_FORM = {"00", "01", "02", "03", "04", "05", "06", "07", "08", "09", "10", "11"}
NEW = [name for name in NAMES if name[:2] in NEW_FORM]
OLD = [name for name in NAMES if name not in NEW]
OF_A_VERDICT = {"at_least", "at_most", "mostly"}  # they come with it
FURNITURE = OF_A_VERDICT | {
    "check",
    "hint",
    "predict",
    "reveal",
    "verdict",
    "progress",
    "recall",
    "review",
    "show",
    "machine",
    "plots",
    "explorers",
    "digits",
    "quadratic",
    "digit_sequences",
    "key_recall",
    "grid",
    "chart",
    "practice",
    "table",
    "treat",
    "treatment",
    "trials",
    "certificate",
}
# The lesson in which a name is built by hand; earlier lessons may not import it.
FIRST_BUILT_IN = {
    "train": "01",
    "mlp": "02",
    "init_weights_": "02",
    "gradient_profile": "02",
    "Recorder": "03",
    "predicted_gradient_profile": "03",
    "q_trajectory": "03",
    "train_many": "03",
    "critical_sigma_w": "04",
    "depth_scale": "05",
    "meanfield": "05",
    "propagation": "05",
    "phase_diagram": "05",
    "chi_1": "03",
    "recurrent_scores": "03",
    "recurrent_stacks": "03",
    "weight_stacks": "05",
    "train_stacks": "06",
    "flat_scores": "02",
    "follow_sharpness": "07",
    "warmup_cosine": "07",
    "transformer_scores": "07",
    "transformer_stacks": "07",
    "TransformerBlock": "08",
    "residual_profile": "08",
    "residual_scores": "08",
    "normalised_scores": "08",
    "predicted_residual_profile": "08",
    "expected_slope": "10",
    "freeze": "10",
    "scaled_attention": "10",
    "stack_scores": "02",
    "rounded": "11",
    "stochastically_rounded": "11",
}


def notebook(folder, name):
    return nbformat.read(ROOT / folder / f"{name}.ipynb", as_version=4)


def code(name):
    return [cell.source for cell in notebook("solutions", name).cells if cell.cell_type == "code"]


def prose(name):
    return [cell.source for cell in notebook("solutions", name).cells if cell.cell_type == "markdown"]


def lesson(name):
    number = name[:2]
    exercises = {key: exercise for key, exercise in all_exercises().items() if key.startswith(number)}
    cells = [cell for cell in notebook("lessons", name).cells if HOST_TAG not in tags(cell)]
    return Lesson(number, cells, exercises)  # as a learner opens it


def lines(source):
    return [line for line in source.splitlines() if line.strip()]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("name", NEW)
def test_a_lesson_keeps_to_its_form(name, rule):
    assert rule(lesson(name)) == []


@pytest.mark.parametrize("name", NEW)
def test_a_drawing_is_a_picture(name):
    for cell in notebook("solutions", name).cells:
        if "drawing" in tags(cell):
            assert any("image/png" in output.get("data", {}) for output in cell.outputs), cell.source


@pytest.mark.parametrize("name", NAMES)
def test_any_cell_runs_again_after_the_whole_lesson(name, tmp_path):
    assert what_fails_again(notebook("solutions", name).cells, ROOT / "solutions", tmp_path) == []


@pytest.mark.parametrize("name", OLD)
def test_code_keeps_to_its_limits(name):
    imports, *counts = (len(lines(source)) for source in code(name))
    counts.sort()
    assert imports <= 13
    assert len(counts) <= 35
    assert sum(counts) <= 208
    assert statistics.median(counts) <= 4
    assert counts[int(0.9 * len(counts))] <= 12
    assert counts[-1] <= 20
    for source in code(name):
        assert max(map(len, lines(source))) <= 120, source


@pytest.mark.parametrize("name", NAMES)
def test_prose_keeps_to_its_limits(name):
    cells = prose(name)
    assert cells[0].startswith("# ")
    assert len(cells[0].split()) <= 90
    assert "minutes" in cells[0]
    for text in cells:
        assert name in NEW or len(text.split()) <= 120, text
        assert "!" not in re.sub(r"`[^`]*`|\$[^$]*\$|!\[", "", text), text


@pytest.mark.parametrize("name", NAMES)
def test_the_first_cell_imports_little_and_only_what_is_built(name):
    first = code(name)[0]
    imported = [
        alias.name
        for node in ast.walk(ast.parse(first))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gradutils")
        for alias in node.names
    ]
    assert len(set(imported) - OF_A_VERDICT) <= 15
    for thing in imported:
        assert thing in FURNITURE or FIRST_BUILT_IN[thing] <= name[:2], f"{thing} is not built yet"
    for source in code(name)[1:]:
        assert "import gradutils" not in source
        assert "from gradutils" not in source


@pytest.mark.parametrize("name", NAMES)
def test_no_settings_no_paths_no_downloads_in_code(name):
    for source in code(name):
        assert not re.search(
            r"rcParams|style\.use|filterwarnings|https?://|urlopen|download|plt\.rc", source
        ), source
        assert not re.search(r"[\"'](/|~|[A-Z]:\\)", source), source
        assert "### " not in source


@pytest.mark.parametrize("name", NAMES)
def test_random_numbers_are_seeded_where_they_are_drawn(name):
    """A seed of chance would now and then print something else."""
    draws = {"randn", "rand", "randint", "randperm", "normal", "bernoulli", "multinomial"}
    draws = {"init_weights_"} | {f"torch.{draw}" for draw in draws}
    for source in code(name):
        if "torch.manual_seed(" not in source:
            for call in ast.walk(ast.parse(source)):
                if isinstance(call, ast.Call) and ast.unparse(call.func) in draws:
                    assert "generator" in {keyword.arg for keyword in call.keywords}, ast.unparse(call)


@pytest.mark.parametrize("name", NAMES)
def test_no_measured_number_is_typed_in_prose(name):
    """A decimal number in the text is in code, a formula or a link, where it is a setting or theory."""
    for text in prose(name):
        bare = re.sub(r"`[^`]*`|\$\$?[^$]*\$\$?|\[[^\]]*\]\([^)]*\)|\b\d\d\.\d\d?\b", "", text)
        assert not re.search(r"\d\.\d|\d ?%\s+(of|in)|\d+e[-+]?\d", bare), text


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name):
    for folder in ("lessons", "solutions"):
        for text in prose(name):
            for target in re.findall(r"\]\(([^)#]+)", text):
                if not target.startswith("http"):
                    assert (ROOT / folder / target).resolve().exists(), f"{folder}/{name}: {target}"


def test_readme_links_lead_somewhere():
    for page in ("README.md", "CONTRIBUTING.md"):
        for target in re.findall(r"\]\(([^)#]+)", (ROOT / page).read_text()):
            assert target.startswith("http") or (ROOT / target).exists(), f"{page}: {target}"


@pytest.mark.parametrize("name", NAMES)
def test_every_exercise_is_asked_once_with_minutes_and_difficulty(name):
    asked = re.findall(r"### Exercise (\d\d\.\d+) · [●○]{3} · \d+ minutes", "\n".join(prose(name)))
    assert in_order(asked) == in_order(lesson(name).exercises)
    assert name in NEW or asked == in_order(asked)
    stubs = [
        cell.source
        for cell in notebook("lessons", name).cells
        if cell.cell_type == "code" and "    ..." in cell.source and "= check(" in cell.source
    ]
    assert len(stubs) == len(asked)
    for key, stub in zip(asked, stubs, strict=True):
        function = re.search(r"def (\w+)\(", stub)[1]
        assert stub.rstrip().endswith(f'{function} = check("{key}", {function}).function')


@pytest.mark.parametrize("name", NAMES)
def test_no_error_and_no_warning_is_stored(name):
    for cell in notebook("solutions", name).cells:
        for output in cell.get("outputs", []):
            assert output.output_type != "error", cell.source
            assert output.get("name") != "stderr", cell.source


@pytest.mark.parametrize("name", NAMES)
def test_every_picture_has_words(name):
    for cell in notebook("solutions", name).cells:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                words = output["data"]["text/plain"]
                assert len(words.split()) >= 5, cell.source
                assert not words.startswith("<"), cell.source
                assert output["metadata"]["image/png"]["alt"] == words, cell.source


@pytest.mark.parametrize("name", NAMES)
def test_only_the_machine_may_differ_between_machines(name):
    for cell in notebook("solutions", name).cells:
        if "nbval-ignore-output" in cell.metadata.get("tags", []):
            assert cell.source == "print(machine())" or "torch.cuda.is_available()" in cell.source


def test_every_trial_is_recorded_and_no_claim_is_tried_twice():
    found = []
    for name in NAMES:
        for cell in notebook("solutions", name).cells:
            known = [output.get("metadata", {}) for output in cell.get("outputs", [])]
            records = [one["gradutils_verdict"] for one in known if "gradutils_verdict" in one]
            found += records
            called = re.findall(r"^verdict\(\s*\"(\w+)\"", cell.source, re.MULTILINE)
            assert called == [record["claim"] for record in records]
    claims = [record["claim"] for record in found]
    assert len(claims) == len(set(claims))
    outcomes = {record["claim"]: record["outcome"] for record in found}
    assert outcomes == {claim: outcome for outcome, claims in EXPECTED.items() for claim in claims}
    assert set(claims) == set(CLAIMS)


@pytest.mark.parametrize("name", NAMES)
def test_a_verdict_says_what_was_run_and_at_which_settings(name):
    for trial in trials(ROOT / "solutions").values():
        if trial.lesson == name and trial.outcome != "not tested":
            assert trial.found, trial.claim
            assert what_evidence_lacks(trial.evidence) == [], trial.claim


@pytest.mark.parametrize("name", NAMES)
def test_words_for_counts_are_told_beside_them(name):
    assert words_for_counts_are_told(lesson(name)) == []


def test_every_patient_is_visited_and_treated_once():
    """Some in the core, the others in the part More patients, each part in order."""
    found = "\n".join(prose("12_emergency_room")).split("## More patients\n")
    parts = [re.findall(r"### Patient (\d\d\.\d+) · [●○]{3} · \d+ minutes", text) for text in found]
    assert all(part == in_order(part) for part in parts)
    visited = [patient_id for part in parts for patient_id in part]
    assert in_order(visited) == in_order(PATIENTS)
    cells = [cell.source for cell in notebook("lessons", "12_emergency_room").cells]
    stubs = [source for source in cells if source.startswith("treat(")]
    assert stubs == [f'treat(\n    "{name}",\n    ...\n)' for name in visited]


@pytest.mark.parametrize("name", NAMES)
def test_predictions_are_settled(name):
    text = "\n".join(code(name))
    assert re.findall(r"predict\(\s*\"([^\"]+)\"", text) == re.findall(r"reveal\(\s*\"([^\"]+)\"", text)


@pytest.mark.parametrize("name", NAMES)
def test_a_lesson_leads_to_the_next_and_to_its_solution(name):
    cells = prose(name)
    assert f"](../solutions/{name}.ipynb)" in cells[-1]
    if name != NAMES[-1]:
        following = NAMES[NAMES.index(name) + 1]
        assert re.search(rf"Next: \[[^\]]+\]\({following}\.ipynb\)", cells[0])
