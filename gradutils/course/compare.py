"""What two functions did with the same case, side by side: one sentence says what differs."""

import math

import torch

from gradutils.course.runs import Run
from gradutils.course.words import cut, kind, listed


def difference(want: Run, run: Run, rtol: float | None, returns: tuple[str, ...] = ()) -> str:
    """What differs between two runs, in a sentence; empty where nothing does. ``returns`` names the returned values."""
    if want.error is not None or run.error is not None:
        if type(want.error) is type(run.error) and str(want.error) == str(run.error):
            return ""
        return _describe_error(run) if run.error is not None else "An error was expected, and there was none."
    found = _different(want.value, run.value, rtol, returns)
    if not found and run.changed and not want.changed:
        return f"The value is right, but your function changed {run.changed.what}. Leave the arguments as they are."
    return found


def _describe_error(run: Run) -> str:
    if isinstance(run.error, RecursionError):
        return "It calls itself too often for Python (RecursionError). Does it come to an end? If so, use a loop or a formula."
    try:
        text = " ".join(str(run.error).split())
    except BaseException:  # an error of the answer's own can fail to speak
        text = ""
    name = cut(type(run.error).__name__, 60)
    return f"It raises {name}{': ' if text else ''}{cut(text, 200)}{run.where}."


def _different(want, got, rtol, returns=()) -> str:
    if isinstance(want, (tuple, list)):
        return _different_values(want, got, rtol, returns)
    if got is None or want is None:
        return "" if got is want else "It returns None. Is there a return?"
    if isinstance(want, (str, bool)):
        return _different_plain(want, got)
    if is_number(want):
        return _different_number(want, got, rtol)
    if isinstance(want, torch.Tensor):
        return _different_tensor(want, got, rtol)
    return "" if type(got) is type(want) and _equal(got, want) else "The values differ."


def _different_values(want, got, rtol, returns) -> str:
    names = f": {listed(returns)}" if returns else ""
    if not isinstance(got, (tuple, list)):
        return f"It returns {kind(got)}; a list or tuple of {len(want)} is expected{names}."
    if len(got) != len(want):
        return f"It returns {len(got)} values; {len(want)} are expected{names}."
    for k, (a, b) in enumerate(zip(want, got, strict=True)):
        found = "It is None." if b is None and a is not None else _different(a, b, rtol)
        if found:
            one = "Value" if isinstance(want, tuple) else "Entry"
            name = returns[min(k, len(returns) - 1)] if returns else f"{one} {k + 1} of {len(want)}"
            return f"{name}: {found[0].lower()}{found[1:]}"
    return ""


def _equal(a, b) -> bool:
    try:
        return a is b or bool(a == b)
    except Exception:  # an answer's own objects may refuse
        return False


def _different_plain(want, got) -> str:
    if isinstance(want, bool) and isinstance(got, torch.Tensor) and got.dtype == torch.bool and got.ndim == 0:
        got = bool(got)
    if isinstance(want, str) != isinstance(got, str) or isinstance(want, bool) != isinstance(got, bool):
        return f"It returns {kind(got)}; {kind(want)} is expected."
    if isinstance(got, str):
        got = str.__str__(got)  # a plain text: one of another class can call itself equal to anything
    if got == want:
        return ""
    if isinstance(want, str) and got.strip().lower() == want:
        return f"It returns {got!r}; write it {want!r}."
    return "The answer differs."


def _different_number(want, got, rtol) -> str:
    if not is_number(got):
        shape = f" of shape {tuple(got.shape)}" if isinstance(got, torch.Tensor) and got.ndim else ""
        return f"It returns {kind(got)}{shape}; one number is expected."
    a, b = _float(want), _float(got)
    if b != b and a == a:
        return "The value is NaN."
    if a == b or (a != a and b != b):
        return ""
    if math.isinf(a) or math.isinf(b):
        return "The values differ."
    tolerance = rtol or (tolerance_of(want.dtype) if isinstance(want, torch.Tensor) else 1e-6)
    return "" if abs(a - b) <= tolerance * max(abs(a), 1e-3) else "The values differ."


def _float(value) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer too long for a float
        return math.inf if value > 0 else -math.inf


def _different_tensor(want, got, rtol) -> str:
    if not isinstance(got, torch.Tensor):
        return f"It returns {kind(got)}; a torch.Tensor is expected."
    if got.layout != torch.strided or got.is_quantized or got.is_meta or got.is_nested:
        return "It returns a tensor of a special kind (sparse, quantized, nested or without data); a plain one is expected."
    if got.shape != want.shape:
        return f"The shape differs: expected {tuple(want.shape)}, got {tuple(got.shape)}."
    if got.dtype != want.dtype:
        return f"The dtype differs: expected {want.dtype}, got {got.dtype}."
    if want.dtype == torch.bool:
        return "" if torch.equal(got, want) else "The shape is right, the values differ."
    if got.isnan().any() and not want.isnan().any():
        return "There is a NaN in the values."
    tolerance = rtol or tolerance_of(want.dtype)
    scale = want.abs().nan_to_num().amax().item() if want.numel() else 0.0
    if torch.allclose(got, want, rtol=tolerance, atol=tolerance * max(scale, 1e-3), equal_nan=True):
        return ""
    if torch.allclose(got, -want, rtol=tolerance, atol=tolerance * max(scale, 1e-3), equal_nan=True):
        return "The values differ: the sign is the other way round."
    return "The shape is right, the values differ."


def tolerance_of(dtype) -> float:
    """How far a value of this dtype may be off, relative to its size."""
    # Single-precision steps on the way to a double-precision answer are no mistake.
    return {torch.float64: 1e-6, torch.float32: 1e-5}.get(dtype, 1e-2)


def is_number(value) -> bool:
    """Whether it is one real number: of Python, of numpy, or a tensor without axes. True and False are none."""
    if isinstance(value, torch.Tensor):
        return value.ndim == 0 and value.dtype != torch.bool and not value.is_complex()
    if isinstance(value, bool):
        return False
    return isinstance(value, (int, float)) or (
        type(value).__module__ == "numpy" and hasattr(value, "item") and _is_scalar(value)
    )


def _is_scalar(value) -> bool:
    return (
        getattr(value, "ndim", 0) == 0
        and isinstance(value.item(), (int, float))
        and not isinstance(value.item(), bool)
    )


def comparable(value) -> bool:
    """Whether two runs that return such values can be told to differ: other objects need not equal themselves."""
    if isinstance(value, (tuple, list)):
        return all(map(comparable, value))
    return isinstance(value, (str, bool, torch.Tensor)) or is_number(value)
