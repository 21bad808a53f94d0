"""How far an import is, on one line of a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO, TypeAlias

from ._types import Imported

#: What import_() takes to say how far it is: a function, True for a bar on a terminal, False for nothing.
Progress: TypeAlias = bool | Callable[[Imported], None]

_EVERY_S = 0.1
_BAR_CELLS = 24


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def line(outcome: Imported, total: int | None, elapsed_s: float) -> str:
    """ "43 %  ██████████   4,300 of 10,000  1,234/s  ETA 0:05  2 refused" """
    done = outcome.skipped + outcome.settled
    rate = outcome.settled / elapsed_s if elapsed_s > 0 else 0
    parts = [f"{done:,}"]
    if total:
        share = min(done / total, 1)
        cells = round(share * _BAR_CELLS)
        parts = [f"{share:4.0%}  {'█' * cells}{'·' * (_BAR_CELLS - cells)}", f"{done:,} of {total:,}"]
    parts.append(f"{rate:,.0f}/s")
    if total and rate > 0:
        parts.append(f"ETA {_clock(max(total - done, 0) / rate)}")
    if outcome.refused_count:
        parts.append(f"{outcome.refused_count:,} refused")
    if outcome.resumed:
        parts.append(f"resumed {outcome.resumed} times")
    return "  ".join(parts)


class Reporter:
    def __init__(self, progress: Progress, total: int | None, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._call = progress if callable(progress) else None
        self._bar = progress is True and self._stream.isatty()
        self._total = total
        self._begin = time.monotonic()
        self._shown = 0.0

    def update(self, outcome: Imported, *, last: bool = False) -> None:
        if self._call is not None:
            self._call(outcome)
        now = time.monotonic()
        if self._bar and (last or now - self._shown >= _EVERY_S):
            self._shown = now
            text = line(outcome, self._total, now - self._begin)
            self._stream.write(f"\r\033[K{text}" + ("\n" if last else ""))
            self._stream.flush()
