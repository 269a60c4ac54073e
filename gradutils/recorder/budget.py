"""Which steps are recorded: each n-th, or as many as a share of the training's own time pays for.

The times are those of the host, by ``time.perf_counter``. A GPU works on while the host records, so that what a record takes
there is at most what is counted here. What listening costs outside of the recorder's own functions (torch calls a module that has
hooks by a longer way) is not seen: some 50 us a step. Given the same times, the same steps are chosen.
"""

import math
from collections import deque
from statistics import median

from gradutils.recorder.rows import FIRST

FARTHER = 1.3  # times as far as the record before is the next, at the latest: a short run has an end as well
ALWAYS = 21  # steps at the start, whatever they cost: half of the illnesses show by then
WINDOW = 21  # times that a median is taken of
KNOWN = 5  # times from which on a median is believed
AFTER_A_LEAP = 3  # steps
EXTRA = 0.1  # steps after leaps, as a share of the other records
SELDOM = 1e-3  # of the steps are recorded where not even listening can be paid for
REFRESH = 16  # steps between two looks at what can be afforded: a median costs a thousandth of a short step
LOSSES = 20  # that a leap is measured against
LEAP = 3.0  # times their median


class Every:
    """Each n-th step, and the first five."""

    over, share = False, math.nan

    def __init__(self, n: int):
        self._n = n

    def wants(self, step: int) -> bool:
        """Whether to record a step that comes next."""
        return step < FIRST or step % self._n == 0

    def stepped(self, wall: float, own: float, recorded: bool, **numbers: float) -> None:
        """No time changes anything."""


class Schedule:
    """So many steps, spread evenly, that the recorder takes no more than ``budget`` of the time that training takes without it.

    The first 21 steps are recorded whatever they cost, and after them one at least whenever the run has become a third longer. What they cost beyond the budget is paid back later: until then only half
    as many steps are chosen. A leap of the loss or of the gradient norm adds three steps, within an allowance.
    """

    def __init__(self, budget: float):
        self._budget = budget
        self._idle, self._cost = (
            _Times(),
            _Times(),
        )  # what the recorder took of a step: not recorded, recorded
        self._without, self._with = _Times(), _Times()  # whole steps: not recorded, recorded
        self._plain = _Times()  # steps without what the recorder took of them
        self._steps = self._records = self._extra = 0
        self._credit = 0.0  # of a record: at 1 there is one
        self._owed = 0  # steps after a leap
        self._landmark = ALWAYS  # the step that is recorded at the latest
        self._balance = 0.0  # seconds: what the budget paid for, without what was taken
        self._own = self._all = 0.0
        self._rate = 1.0
        self._leaps: dict[str, _Leap] = {}

    def wants(self, step: int) -> bool:
        """Whether to record a step that comes next."""
        return step < ALWAYS or step >= self._landmark or self._credit >= 1 or self._owed > 0

    def stepped(self, wall: float, own: float, recorded: bool, **numbers: float) -> None:
        """Told after a step: the seconds since the step before, what of them the recorder took, and whether it recorded.

        ``numbers`` are such that a leap of them is worth a look (``loss``, ``grad_norm``), those that are known without waiting.
        """
        self._steps += 1
        if self._steps > 1:  # the first takes longer than others: much is set up in it
            self._learn(wall, own, recorded)
        if recorded:
            due = self._steps > max(ALWAYS, self._landmark)
            paid = due or self._credit >= 1 or self._steps <= ALWAYS
            self._landmark = max(self._landmark, math.ceil(FARTHER * self._steps))
            self._records, self._extra = self._records + paid, self._extra + (not paid)
            self._credit -= due or self._credit >= 1  # what was due comes out of the same budget
            self._owed = max(0, self._owed - 1)
        if recorded or self._steps % REFRESH == 0:
            self._rate = self._affordable()
        if self._steps >= ALWAYS:
            self._credit = min(2.0, self._credit + self._rate)
        leaps = [self._leap(name).by(value) for name, value in numbers.items()]  # each is to see its number
        if any(leaps):
            allowed = AFTER_A_LEAP + int(EXTRA * self._records)
            self._owed = max(0, min(AFTER_A_LEAP, allowed - self._extra))

    def _learn(self, wall: float, own: float, recorded: bool) -> None:
        (self._cost if recorded else self._idle).add(own)
        (self._with if recorded else self._without).add(wall)
        self._plain.add(wall - own)
        self._own, self._all = self._own + own, self._all + wall
        self._balance += self._budget * (wall - own) - (max(own, self.cost) if recorded else own)

    def _leap(self, name: str) -> "_Leap":
        return self._leaps.setdefault(name, _Leap())

    @property
    def plain(self) -> float:
        """Seconds that a step takes without the recorder."""
        if len(self._without) >= KNOWN:
            return max(0.0, self._without.middle - self._idle.middle)
        return self._plain.middle

    @property
    def cost(self) -> float:
        """Seconds that a record takes: its own, or by how much longer such a step is, if that is more.

        Hooks cost also where the recorder does not see it, and what it reads drives out of the cache what the next layer needs.
        """
        if len(self._without) < KNOWN:
            return self._cost.middle
        return max(self._cost.middle, self._with.middle - self._without.middle + self._idle.middle)

    def _affordable(self) -> float:
        """The share of the steps to be recorded."""
        idle = self._idle.middle
        spare, price = self._budget * self.plain - idle, self.cost - idle
        rate = 1.0 if price <= spare else max(SELDOM, spare / price)
        return rate / 2 if self.owes and rate < 1 else rate

    @property
    def owes(self) -> bool:
        """Whether the first steps are still being paid back: more is missing than the newest record."""
        return self._balance < -1.5 * self.cost

    @property
    def over(self) -> bool:
        """Whether the budget does not even pay for listening without recording: the steps are too short for it."""
        return len(self._idle) >= KNOWN and self._idle.middle > self._budget * self.plain

    @property
    def share(self) -> float:
        """What the recorder took so far, as a share of the time without it."""
        return self._own / (self._all - self._own) if self._all > self._own else math.nan


class _Times:
    """The newest times, and their median; 0 where there are none."""

    def __init__(self):
        self._times: deque[float] = deque(maxlen=WINDOW)
        self.add = self._times.append

    def __len__(self) -> int:
        return len(self._times)

    @property
    def middle(self) -> float:
        return median(self._times) if self._times else 0.0


class _Leap:
    """Tells when a number leaps: above three times its recent median, or to what is not finite."""

    def __init__(self):
        self._recent: deque[float] = deque(maxlen=LOSSES)
        self._high = False

    def by(self, value: float) -> bool:
        """Whether this value is a leap; the next ones are none while it stays up there."""
        before, self._high = self._high, self._is_high(value)
        if math.isfinite(value):
            self._recent.append(value)
        return self._high and not before

    def _is_high(self, value: float) -> bool:
        if not math.isfinite(value):
            return True
        if len(self._recent) < KNOWN:
            return False
        middle = median(self._recent)
        return value > middle + (LEAP - 1) * abs(middle)
