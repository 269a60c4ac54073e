"""What may be written the other way in right answers of lesson 09, and why (see tests/mutations.py)."""

HALF = "a Gaussian is symmetric, so one half of it has the same sizes"
PRECISION = "right to the digits that the task asks for"

QUANTILES = "torch.arange(20000, dtype=torch.float64)"
LINE = "torch.linspace(0, 8, 40001, dtype=torch.float64)"

FREE = {
    "09.6": {
        f"_eps_shrinks: ({QUANTILES} + 0.5) / 20000 -> ({QUANTILES} + 0.5) / 40000": HALF,
        f"_eps_shrinks: {QUANTILES} -> torch.arange(10000.0, dtype=torch.float64)": HALF,
        f"_eps_shrinks: {QUANTILES} + 0.5 -> {QUANTILES} + 0.25": PRECISION,
        f"_by_a_sum: {LINE} -> torch.linspace(0, 16, 40001, dtype=torch.float64)": PRECISION,
        f"_by_a_sum: {LINE} -> torch.linspace(0, 4.0, 40001, dtype=torch.float64)": PRECISION,
        f"_by_a_sum: {LINE} -> torch.linspace(0, 8, 80002, dtype=torch.float64)": PRECISION,
    }
}
