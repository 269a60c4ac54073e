"""A recording as a file, and as data: whatever it is given, only the errors that are promised."""

import contextlib
import dataclasses
import io
import json
import math
import os
import tracemalloc
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gradutils.recorder import Recorder, Recording, diagnose
from gradutils.recorder.signs import read_signs
from tests.test_recorder import build, run


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A small recording with recurrent weights, and the file that holds it."""
    model, x = build("elman")
    with Recorder(model, cosine=True) as recorder:
        run(model, x, recorder=recorder)
    path = tmp_path_factory.mktemp("saved") / "run.npz"
    recorder.save(path)
    return recorder.recording, path


@given(st.integers(0, 10**9), st.integers(0, 255), st.booleans())
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_file_is_refused_or_read(saved, tmp_path, place, byte, cut):
    """Whatever becomes of one byte, or of the end: nothing but the error that is promised."""
    content = bytearray(saved[1].read_bytes())
    content[place % len(content)] = byte
    path = tmp_path / "damaged.npz"
    path.write_bytes(content[: place % len(content)] if cut else content)
    with contextlib.suppress(ValueError):
        assert Recording.load(path).to_dict().keys() == saved[0].to_dict().keys()


def pack(path, arrays=(), words=(), drop=()):
    """The saved recording with some of its parts exchanged."""
    with np.load(path, allow_pickle=False) as archive:
        parts = {name: archive[name] for name in archive.files}
    told = json.loads(str(parts.pop("words"))) | dict(words)
    parts = {name: part for name, part in (parts | dict(arrays)).items() if name not in drop}
    np.savez_compressed(path.with_name("changed.npz"), words=np.array(json.dumps(told)), **parts)
    return path.with_name("changed.npz")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"arrays": {"loss": np.zeros(3)}}, r"loss must be \(8,\) of torch.float64; it is \(3,\)"),
        ({"arrays": {"loss": np.zeros(8, int)}}, "loss must be .* it is .* of torch.int64"),
        ({"arrays": {"grad_norm": np.zeros((8, 1))}}, "grad_norm must be"),
        ({"arrays": {"steps": np.zeros(8, complex)}}, "steps must be"),
        ({"arrays": {"more": np.zeros(8)}}, "it must hold steps"),
        ({"arrays": {"loss": np.array([1.0] * 8, dtype=object)}}, "claims"),
        ({"drop": ["delta_norm"]}, "it must hold steps"),
        ({"words": {"parameters": ["a"]}}, "shapes"),
        ({"words": {"kinds": []}}, "kinds"),
        ({"words": {"calls": ["1"]}}, "calls"),
        ({"words": {"loss": [1, 2]}}, "loss"),
        ({"words": {"loss_scale": "nan"}}, "loss_scale"),
        ({"words": {"spectral_norms": {"nowhere": 1.0}}}, "spectral_norms"),
        ({"words": {"shapes": [[-1]] * 4}}, ""),
    ],
)  # fmt: skip
def test_a_file_of_other_shapes_or_types_is_refused_and_says_why(saved, change, what):
    with pytest.raises(ValueError, match=rf"is not a saved recording \(.*{what}"):
        Recording.load(pack(saved[1], **change))


def test_nothing_is_unpacked_that_claims_too_much(tmp_path):
    path = tmp_path / "bomb.npz"
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**10,)})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("steps.npy", header.getvalue() + bytes(80))
    with pytest.raises(ValueError, match=r"claims \(10000000000,\) of float64 in 80 bytes"):
        Recording.load(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("steps.npy", "w") as file:
        for _ in range(1200):
            file.write(bytes(2**20))
    assert path.stat().st_size < 2**21
    with pytest.raises(ValueError, match=r"would unpack to 1\.3 GB"):
        Recording.load(path)


def test_an_archive_packed_in_another_way_or_with_too_many_members_is_refused(tmp_path):
    path = tmp_path / "odd.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("steps.npy", bytes(10**6))
    with pytest.raises(ValueError, match="packed in another way"):
        Recording.load(path)
    with zipfile.ZipFile(path, "w") as archive:
        for k in range(100):
            archive.writestr(f"{k}.npy", b"")
    with pytest.raises(ValueError, match="its end is not that of a recording"):
        Recording.load(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="it is not a file"):
        Recording.load(tmp_path / "pipe")


def test_what_is_loaded_is_in_memory_once(saved):
    """A file that unpacks to 180 MB, of another shape than it should: it is refused after it was unpacked."""
    path = pack(saved[1], {"loss": np.zeros(180_000_000 // 8)})
    tracemalloc.start()
    with pytest.raises(ValueError, match="loss must be"):
        Recording.load(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 180e6 < peak < 200e6


def test_words_that_nest_too_deep_are_refused(saved):
    with np.load(saved[1], allow_pickle=False) as archive:
        parts = {name: archive[name] for name in archive.files}
    parts["words"] = np.array("[" * 100_000)
    path = saved[1].with_name("deep.npz")
    np.savez_compressed(path, **parts)
    with pytest.raises(ValueError, match="is not a saved recording"):
        Recording.load(path)


def test_a_file_that_is_not_there_is_an_oserror(tmp_path):
    with pytest.raises(FileNotFoundError):
        Recording.load(tmp_path / "none.npz")


ODD = st.sampled_from([0.0, -1.0, 1e-300, 1e300, math.nan, math.inf, -math.inf, 1.0, 3.5])


@given(st.data())
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_was_loaded_can_be_diagnosed_and_told(saved, data):
    """Right shapes and types may hold any numbers: no reader of a recording raises at them."""
    found = {}
    for name, value in vars(saved[0]).items():
        if isinstance(value, torch.Tensor) and value.dtype == torch.float64:
            drawn = data.draw(st.lists(ODD, min_size=1, max_size=5), label=name)
            filled = torch.tensor((drawn * value.numel())[: value.numel()], dtype=torch.float64).view_as(
                value
            )
            found[name] = data.draw(st.sampled_from([value, filled]), label=f"{name} changed")
    recording = dataclasses.replace(saved[0], **found, loss_scale=data.draw(ODD))
    assert recording.summary()
    assert str(diagnose(recording))
    assert read_signs(recording)
