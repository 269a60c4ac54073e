"""A recording as a file: an npz archive, whose every part is checked before it is believed."""

import json
import math
import os
import struct
from contextlib import suppress
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

import numpy as np
import torch
from numpy.lib import format as npy
from torch import Tensor

# Bytes that a recording may unpack to: ten thousand records of a thousand parameters are a third of it.
LARGEST = 900_000_000
MOST = 64, 2**16, 16_000_000  # members, bytes of their list, bytes of the words
WORDS = "words"  # the member that holds what is no tensor, as JSON
R, P, L, S = "records", "parameters", "layers", "steps"
# What a recording holds: the axes and the type of each tensor. ``steps`` and ``loss_steps`` say how many there are.
WHOLE, NUMBER = torch.int64, torch.float64
TENSORS = {
    "steps": ((R,), WHOLE),
    "stale": ((R,), torch.bool),
    "loss_steps": ((S,), WHOLE),
    "loss_curve": ((S,), NUMBER),
}
TENSORS |= dict.fromkeys(("passes", "optimizer_steps"), ((R,), WHOLE))
TENSORS |= dict.fromkeys(("loss", "lr", "input_rms", "input_mean", "grad_cosine", "output_mean", "output_rms", "output_spread", "target_mean", "target_rms", "target_spread", "constant_loss", "top_answer", "top_target"), ((R,), NUMBER))  # fmt: skip
TENSORS |= dict.fromkeys(("grad_norm", "weight_norm", "update_norm"), ((R, P), NUMBER))
TENSORS |= dict.fromkeys(("activation_mean", "activation_std", "zero_fraction", "dead_fraction", "saturated_fraction", "separation", "delta_norm", "first_call_delta", "last_call_delta"), ((R, L), NUMBER))  # fmt: skip


def write(path: Path, values: dict) -> None:
    """Write the fields of a recording; a crash on the way leaves an older file of that name as it was."""
    arrays = {name: value.numpy() for name, value in values.items() if isinstance(value, Tensor)}
    words = json.dumps({name: value for name, value in values.items() if not isinstance(value, Tensor)})
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(temporary, "wb") as file:
            np.savez_compressed(file, **{WORDS: np.array(words)}, **arrays)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def read(path: Path) -> dict:
    """The fields of a recording that ``write`` wrote.

    Raises OSError where the file cannot be opened, and ValueError, with what is wrong, for any other file.
    """
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise ValueError(f"{path} is not a saved recording (it is not a file)")
    with open(path, "rb") as file:
        try:
            _look_at_the_end(file)
            with ZipFile(file) as archive:
                return _checked(*_unpacked(archive))
        except Exception as error:  # a damaged archive raises whatever its parsers raise
            raise ValueError(f"{path} is not a saved recording ({error or type(error).__name__})") from error


def _look_at_the_end(file) -> None:
    """The last 22 bytes of an archive say how many members it has and how long their list is, which zipfile would read whole."""
    file.seek(-22, os.SEEK_END)
    mark, members, length = struct.unpack("<4s6xHI6x", file.read(22))
    if mark != b"PK\5\6" or members > MOST[0] or length > MOST[1]:
        raise ValueError("its end is not that of a recording")
    file.seek(0)


def _unpacked(archive: ZipFile) -> tuple[dict[str, np.ndarray], dict]:
    """The arrays and the words; nothing is unpacked before its size is known."""
    members = archive.infolist()
    size = sum(member.file_size for member in members)
    if size > LARGEST:
        raise ValueError(f"it would unpack to {size / 1e9:.1f} GB; at most {LARGEST / 1e9:.1f} are read")
    if any(
        member.compress_type not in (ZIP_STORED, ZIP_DEFLATED) or member.flag_bits & 1 for member in members
    ):
        raise ValueError("it is packed in another way")  # others unpack to more than they claim
    if any(member.file_size > MOST[2] for member in members if member.filename == f"{WORDS}.npy"):
        raise ValueError(f"its {WORDS} are longer than {MOST[2] / 1e6:.0f} MB")
    arrays = {member.filename.removesuffix(".npy"): _array(archive, member) for member in members}
    words = json.loads(str(arrays.pop(WORDS)[()]))
    if not isinstance(words, dict):
        raise ValueError(f"its {WORDS} are {type(words).__name__}, not a dictionary")
    return arrays, words


def _array(archive: ZipFile, member) -> np.ndarray:
    """One array, after its header has been held against the bytes that are there."""
    with archive.open(member) as file:
        header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[npy.read_magic(file)]
        shape, by_columns, dtype = header(file)
        there = member.file_size - file.tell()
        if dtype.hasobject or math.prod(shape) * dtype.itemsize != there:
            raise ValueError(f"{member.filename} claims {shape} of {dtype} in {there} bytes")
        content = bytearray(there)
        for start in range(0, there, 2**20):  # in pieces: a whole member at once would be held twice
            piece = file.read(min(2**20, there - start))
            content[start : start + len(piece)] = piece
    return np.frombuffer(content, dtype).reshape(shape, order="F" if by_columns else "C")


def _checked(arrays: dict[str, np.ndarray], words: dict) -> dict:
    """Tensors and words of the shapes and types that a recording has."""
    if "update_ratio" in arrays:
        arrays, words = _of_today(arrays, words)
    words = _words(words)
    sizes = {
        R: len(arrays["steps"]),
        P: len(words["parameters"]),
        L: len(words["layers"]),
        S: len(arrays["loss_steps"]),
    }
    if set(arrays) != set(TENSORS):
        raise ValueError(f"it must hold {', '.join(TENSORS)}; it holds {', '.join(map(str, arrays))}")
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    for name, (axes, dtype) in TENSORS.items():
        shape, tensor = tuple(sizes[axis] for axis in axes), tensors[name]
        if tuple(tensor.shape) != shape or tensor.dtype != dtype:
            raise ValueError(
                f"{name} must be {shape} of {dtype}; it is {tuple(tensor.shape)} of {tensor.dtype}"
            )
    return tensors | words


def _of_today(arrays: dict[str, np.ndarray], words: dict) -> tuple[dict, dict]:
    """A recording of version 1.2 or older, which held less: what it did not know is said to be unknown."""
    ratio = arrays["update_ratio"] * arrays["weight_norm"]
    records, (names, layers) = len(arrays["steps"]), (len(words[name]) for name in ("parameters", "layers"))
    unknown = np.full(records, math.nan)
    constant = np.full(records, words["trivial_loss"])
    older = {name: array for name, array in arrays.items() if name != "update_ratio"}
    added = {name: unknown for name, (axes, dtype) in TENSORS.items() if axes == (R,) and dtype is NUMBER}
    added |= {"update_norm": ratio, "constant_loss": constant, "passes": np.ones(records, np.int64)}
    added |= {
        "optimizer_steps": np.full(records, -1),
        "loss_steps": arrays["steps"],
        "loss_curve": arrays["loss"],
    }
    said = {
        "loss_scale": math.nan,
        "misfit": "",
        "order": "",
        "optimizer": "",
        "foreign_steps": 0,
        "evaluating": {},
    }
    said |= {"dtypes": ["float32"] * names, "layer_dtypes": ["float32"] * layers, "unregistered": []}
    said |= {"trainable": [True] * names, "held": [True] * names}
    return added | older, said | {name: value for name, value in words.items() if name != "trivial_loss"}


def _words(words: dict) -> dict:
    """What is no tensor, with its lists as tuples. Raises ValueError where one has not the type that it should have."""
    names, shapes, layers, loops = (
        words[name] for name in ("parameters", "shapes", "layers", "spectral_norms")
    )
    right = {
        "parameters": _are(names, str),
        "shapes": _are(shapes, list) and len(shapes) == len(names) and all(map(_is_shape, shapes)),
        "layers": _are(layers, str),
        "kinds": _are(words["kinds"], str) and len(words["kinds"]) == len(layers),
        "calls": _are(words["calls"], int) and len(words["calls"]) == len(layers),
        "loss_kind": isinstance(words["loss_kind"], str),
        "loss_summed": isinstance(words["loss_summed"], bool),
        "loss_scale": isinstance(words["loss_scale"], int | float),
        "misfit": isinstance(words["misfit"], str),
        "order": isinstance(words["order"], str),
        "dtypes": _are(words["dtypes"], str) and len(words["dtypes"]) == len(names),
        "layer_dtypes": _are(words["layer_dtypes"], str) and len(words["layer_dtypes"]) == len(layers),
        "trainable": _are(words["trainable"], bool) and len(words["trainable"]) == len(names),
        "held": _are(words["held"], bool) and len(words["held"]) == len(names),
        "optimizer": isinstance(words["optimizer"], str),
        "foreign_steps": isinstance(words["foreign_steps"], int),
        "evaluating": isinstance(words["evaluating"], dict) and _are([*words["evaluating"].values()], int),
        "unregistered": _are(words["unregistered"], str),
        "spectral_norms": isinstance(loops, dict) and _are([*loops.values()], float),
        "dropped": isinstance(words["dropped"], int),
    }
    wrong = [name for name in right if not right[name]] or [*(words.keys() ^ right.keys())]
    matrices = {name for name, shape in zip(names, shapes, strict=False) if len(shape) == 2}
    if wrong or not loops.keys() <= matrices:
        raise ValueError(f"these are not as a recording holds them: {', '.join(wrong or ['spectral_norms'])}")
    lists = (
        "parameters",
        "layers",
        "kinds",
        "calls",
        "dtypes",
        "layer_dtypes",
        "trainable",
        "held",
        "unregistered",
    )
    tuples = {name: tuple(words[name]) for name in lists}
    return words | tuples | {"shapes": tuple(map(tuple, shapes))}


def _is_shape(values: list) -> bool:
    return _are(values, int) and all(length >= 0 for length in values)


def _are(values, kind: type) -> bool:
    return isinstance(values, list) and all(isinstance(value, kind) for value in values)
