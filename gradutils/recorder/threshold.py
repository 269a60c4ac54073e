"""A number between health and illness, and the two that it separates."""


class Threshold(float):
    """A number, and the two that it separates: ``well`` is what half of the healthy runs are within, ``ill`` what half of those
    with the illness are beyond (a tenth, where other signs tell most of them). ``python -m benchmarks.thresholds`` says which,
    and measures both again, on the runs that thresholds may be set on."""

    def __new__(cls, value: float, *, well: float, ill: float):
        made = super().__new__(cls, value)
        made.well, made.ill = well, ill
        return made


EARLY = 20  # steps after which an illness is looked for
