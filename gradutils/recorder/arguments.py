"""What the recorder is given is checked here: a clear error says what was given and what was expected."""

from torch import Tensor


def check_single_number(name: str, value) -> None:
    """Raises ValueError for what is no number, nor a tensor of one."""
    if not _is_single_number(value):
        given = (
            f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        )
        raise ValueError(f"{name} must be a single number; got {given}")


def _is_single_number(value) -> bool:
    if isinstance(value, Tensor):
        return value.numel() == 1  # a GPU is not asked for its value
    try:
        float(value)
    except (TypeError, ValueError, OverflowError):
        return False
    return not isinstance(value, str)


def check_whole_number(name: str, value: int, least: int) -> None:
    """Raises ValueError for what is no whole number, or below the ``least``."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be a whole number, {least} or more; got {value!r}")


def check_share(name: str, value: float) -> None:
    """Raises ValueError for what is no number above 0 and up to 1."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= 1:
        raise ValueError(f"{name} must be a share, above 0 and at most 1; got {value!r}")
