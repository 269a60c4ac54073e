"""What may be written the other way in right answers of lesson 11, and why (see tests/mutations.py)."""

EDGE = "exactly on the edge both give the same"

FREE = {
    "11.3": {"the answer: noise < x / gap % 1 -> noise <= x / gap % 1": EDGE},
    "11.4": {
        "the answer: 1 - beta2 >= 2 ** (-8) -> 1 - beta2 > 2 ** (-8)": EDGE,
        "the answer: 1 - beta2 <= 2 ** (-9) -> 1 - beta2 < 2 ** (-9)": EDGE,
    },
}
