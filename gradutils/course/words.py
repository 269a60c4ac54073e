"""Values in words, cut to a length that a card can hold."""

import difflib
import re
import types
from collections.abc import Iterable

import torch


def kind(value) -> str:
    """What a value is, in words: "a tensor"."""
    names = {
        "NoneType": "None",
        "bool": "True or False",
        "int": "a number",
        "float": "a number",
        "complex": "a complex number",
        "str": "a text",
        "list": "a list",
        "tuple": "a tuple",
        "Tensor": "a tensor",
        "ndarray": "a numpy array",
        "generator": "a generator",
    }
    return names.get(type(value).__name__, f"an object of type {cut(type(value).__name__, 60)}")


def cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[:limit] + " …"


def short(value, limit: int = 300) -> str:
    """A value as the lines of a case show it."""
    if isinstance(value, (types.FunctionType, types.BuiltinFunctionType)):
        return _name_of(value)
    try:
        text = f"{value:.6g}" if isinstance(value, float) else repr(value)
    except BaseException as error:
        text = f"an object whose repr raises {type(error).__name__}"
    return cut(text.replace("\n", "\n          "), limit)


def _name_of(function) -> str:
    """A function of a case: its name and the first line of its docstring, where it has them."""
    if not function.__name__.strip("_").isidentifier():
        return "a function"
    about = (function.__doc__ or "").strip().splitlines()[:1]
    return ": ".join([function.__name__.strip("_"), *about])


def in_full(value):
    """Tensors as lists, whose numbers are printed in all their digits."""
    if isinstance(value, (tuple, list)):
        return [in_full(item) for item in value]
    return value.tolist() if isinstance(value, torch.Tensor) else value


def listed(names: Iterable[str]) -> str:
    """ "dh, dW and db" """
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def meant(given, known: Iterable[str]) -> str:
    """The id that was probably meant: "01.3" for "1.3", 1.3 or "lesson 1.3"; empty where none is near."""
    known = list(known)
    given = cut(str(given), 60) if isinstance(given, (str, float)) else ""
    numbers = [int(digits) for digits in re.findall(r"\d+", given)]
    same = [name for name in known if [int(part) for part in name.split(".")] == numbers]
    return next(iter(same + difflib.get_close_matches(given, known, n=1)), "")
