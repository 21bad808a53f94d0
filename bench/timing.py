"""Timing of contenders side by side: round by round, so that whatever else the machine does hits all of them alike.

Times are the calling thread's own, which is what the clock shows on a machine that does nothing else; on another one they
leave out what did not go into the work. Work that waits for other threads is measured by the clock.
"""

import gc
import statistics
import time
from dataclasses import dataclass
from typing import Callable

ROUNDS = 5
OWN, CLOCK = time.thread_time, time.perf_counter


@dataclass(frozen=True)
class Timed:
    """Seconds of one piece of work in each round; @count is how many things it does."""

    seconds: tuple[float, ...]
    count: float

    @property
    def median(self):
        return statistics.median(self.seconds)

    @property
    def rate(self):
        """Things a second."""
        return self.count / self.median

    @property
    def spread(self):
        """The fastest and the slowest round, from the median."""
        return f"{min(self.seconds) / self.median - 1:+.0%}/{max(self.seconds) / self.median - 1:+.0%}"


@dataclass(frozen=True)
class Work:
    run: Callable[[], object]
    count: float  # of things that one run does


def seconds(run, timer=OWN):
    start = timer()
    run()
    return timer() - start


def interleaved(works: dict[str, Work], rounds=ROUNDS, timer=OWN) -> dict[str, Timed]:
    """Each work once to warm up, then each once a round."""
    taken = {name: [] for name in works}
    gc.collect()
    gc.disable()
    try:
        for i in range(1 + rounds):
            for name, work in works.items():
                taken[name].append(seconds(work.run, timer))
    finally:
        gc.enable()
    return {name: Timed(tuple(each[1:]), works[name].count) for name, each in taken.items()}


def one_by_one(function, arguments):
    """Calls @function with each of @arguments: the same loop for everybody."""

    def run():
        for each in arguments:
            function(*each)

    return Work(run, len(arguments))
