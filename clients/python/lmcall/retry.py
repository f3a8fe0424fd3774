"""When and how often to try again: section 7.4."""

from __future__ import annotations

import random
import threading

ATTEMPTS = 4
_FIRST_WAIT = 0.05
_LONGEST_WAIT = 2.0


def backoff(attempt: int, advice: float = 0.0) -> float:
    """Seconds to wait before repetition number `attempt`, which counts from 0: the server's advice, or full jitter."""
    return advice or random.uniform(0, min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** min(attempt, 16)))


class RetryBudget:
    """Keeps repetitions below a tenth of the requests, so that clients do not hold down a server that comes back."""

    _SHARE = 0.1
    _MOST = 10.0

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left = self._MOST

    def earn(self) -> None:
        """A first attempt was made."""
        with self._lock:
            self._left = min(self._MOST, self._left + self._SHARE)

    def spend(self) -> bool:
        """Whether a repetition may be made; it is then counted."""
        with self._lock:
            if self._left < 1:
                return False
            self._left -= 1
            return True
