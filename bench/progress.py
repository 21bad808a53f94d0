"""How far a long measurement is: one line that is redrawn on a terminal, elsewhere a line a step."""

import shutil
import sys
import time


def _clock(seconds):
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


class Progress:
    def __init__(self, plan):
        """@plan: seconds that each part took somewhere once; their proportions make the estimate."""
        self._plan = plan
        self._total = sum(plan.values())
        self._started = time.monotonic()
        self._before = 0.0
        self._part = None
        self._drawn = False

    def part(self, name):
        if self._part is not None:
            self._before += self._plan[self._part]
        self._part = name

    def step(self, done, total, text):
        """@done of @total steps of this part are behind us; @text says what is next."""
        elapsed = time.monotonic() - self._started
        fraction = (self._before + self._plan[self._part] * done / total) / self._total
        left = f"about {_clock(elapsed * (1 - fraction) / fraction)} left" if fraction > 0.02 else "estimating"
        line = f"{100 * fraction:3.0f} %  {_clock(elapsed)}, {left}  {self._part}: {text}"
        if sys.stderr.isatty():
            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write("\r\x1b[K" + line[:width])
            self._drawn = True
        else:
            sys.stderr.write(line + "\n")
        sys.stderr.flush()

    def clear(self):
        """Before anything else is written."""
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
            self._drawn = False
