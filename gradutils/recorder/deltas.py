"""The gradients of layers' outputs, gathered while a backward pass runs."""

from collections import defaultdict

from torch import Tensor

from gradutils.recorder.rows import Columns, Row


class Deltas:
    """Their norms; the last calls of a layer come first, for the way back begins with them."""

    def __init__(self):
        self._seen: list[tuple[int, float | Tensor]] = []

    def receive(self, k: int, size: float | Tensor) -> None:
        """Of layer k."""
        self._seen.append((k, size))

    def add_to(self, row: Row, columns: Columns) -> None:
        """Over all calls of each layer and, of those that were called many times, of the first and the last call alone."""
        if not self._seen:
            return
        layers, sizes = zip(*self._seen, strict=True)
        sizes = row.sender.vector(sizes)
        row.norms(columns.of("delta_square", layers), sizes)
        row.counts(columns.of("delta_calls", layers), 1)
        calls = defaultdict(list)
        for n, k in enumerate(layers):
            calls[k].append(n)
        loops = {k: members for k, members in calls.items() if len(members) > 1}
        for name, place in (("first_call_delta_square", -1), ("last_call_delta_square", 0)):
            if loops:
                ends = row.sender.index([members[place] for members in loops.values()])
                row.norms(columns.of(name, loops), sizes[ends])
