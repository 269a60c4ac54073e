"""What may be written the other way in right answers of lesson 10, and why (see tests/mutations.py)."""

LAST = "a row of draws has two axes, so 1 is the last one"
PRECISION = "right to the digits that the task asks for"
EPS = "the small number only keeps from dividing by 0"
EDGE = "exactly on the edge both give the same"

FREE = {
    "10.3": {
        "_by_draws: -1 -> 1": LAST,
        "the answer: torch.randn(20000, tokens) -> torch.randn(40000, tokens)": PRECISION,
    },
    "10.4": {"the answer: 1e-12 -> 2e-12": EPS, "the answer: 1e-12 -> 5e-13": EPS},
    "10.6": {
        "_by_halving: (0.0, 100.0) -> (-1, 100.0)": PRECISION,
        "_by_halving: (0.0, 100.0) -> (0.0, 200.0)": PRECISION,
        "_by_halving: (0.0, 100.0) -> (0.0, 50.0)": PRECISION,
        "_by_halving: _still_apart(cosine, tokens, blocks, middle) > wanted -> _still_apart(cosine, tokens, blocks, middle) >= wanted": EDGE,
        "_by_halving: for in list(range(80))[1:]": PRECISION,
        "_by_halving: for in list(range(80))[:-1]": PRECISION,
        "_by_halving: range(80) -> range(160)": PRECISION,
        "_by_halving: range(80) -> range(80 + 1)": PRECISION,
        "_by_halving: range(80) -> range(80 - 1)": PRECISION,
    },
}
