"""Timing of contenders side by side: round by round, so that whatever else the machine does hits all of them alike."""

import gc
import statistics
import time
from dataclasses import dataclass
from typing import Callable

ROUNDS = 5


@dataclass(frozen=True)
class Timed:
    """Seconds of one piece of work in each round."""

    seconds: tuple[float, ...]

    @property
    def median(self):
        return statistics.median(self.seconds)

    @property
    def spread(self):
        """The fastest and the slowest round, from the median."""
        return f"{min(self.seconds) / self.median - 1:+.0%}/{max(self.seconds) / self.median - 1:+.0%}"


def seconds(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def interleaved(works: dict[str, Callable[[], object]], rounds=ROUNDS, warm=True) -> dict[str, Timed]:
    """Each work once to warm up, then each once a round."""
    taken = {name: [] for name in works}
    gc.collect()
    gc.disable()
    try:
        for i in range(-1 if warm else 0, rounds):
            for name, work in works.items():
                one = seconds(work)
                if i >= 0:
                    taken[name].append(one)
    finally:
        gc.enable()
    return {name: Timed(tuple(each)) for name, each in taken.items()}


def one_by_one(function, arguments):
    """Work that calls @function with each of @arguments: the same loop for everybody."""

    def work():
        for each in arguments:
            function(*each)

    return work


def repeated_for(work, least_seconds):
    """@work as many times as take about @least_seconds, and how many that is."""
    times = max(1, round(least_seconds / max(seconds(work), 1e-6)))

    def many():
        for _ in range(times):
            work()

    return many, times
