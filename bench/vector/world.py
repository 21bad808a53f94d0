"""What the sections share: data, the engine's codebooks and segments over them, the report. All made when first asked for."""

import dataclasses
from functools import cached_property

from bench import timing
from bench.vector import data, ours

SAMPLES = 65536
# Seconds of each section on two cores of a Sapphire Rapids Xeon, for the estimate of what is left.
PLAN = {"data": 60, "kernels": 60, "quality": 150, "search": 1500, "updates": 40, "distances": 10, "filters": 20}
QUICK_PLAN = {"data": 20, "kernels": 25, "quality": 60, "search": 150, "updates": 15, "distances": 5, "filters": 10}


class Engine:
    """Ours over one data set, with cells or without."""

    def __init__(self, of, with_cells):
        self.data = of
        self.seconds = {}
        cells = ours.cells_for(len(of.rows)) if with_cells else 0
        self.codebook = self._timed("train", lambda: ours.Codebook(of.sample(SAMPLES), len(of.rows), cells))
        self.refined = self._timed("refine", lambda: ours.refine(of.rows))
        self.codes, self.cells = self._timed("encode", lambda: self.codebook.encode(self.refined))
        self._segments = {}

    def _timed(self, what, make):
        made = []
        self.seconds[what] = timing.seconds(lambda: made.append(make()))
        return made[0]

    def segment(self, kind="int8"):
        if kind not in self._segments:
            refined = self.refined if kind == "int8" else ours.refine(self.data.rows, kind)
            self._segments[kind] = ours.Segment(self.codebook, kind)
            self._timed("fill " + kind, lambda: self._segments[kind].fill(refined, self.codes, self.cells))
        return self._segments[kind]

    @property
    def build_seconds(self):
        """From float rows to a segment that can be searched."""
        self.segment()
        return sum(self.seconds[what] for what in ("train", "refine", "encode", "fill int8"))

    def free(self):
        for segment in self._segments.values():
            segment.free()
        self.codebook.free()


class World:
    def __init__(self, built, quick, report, progress):
        self._built, self.quick, self.report, self._progress = built, quick, report, progress
        self._engines = {}

    @cached_property
    def wordnet(self):
        self._progress.clear()
        return data.wordnet(self._built, 24000 if self.quick else None)

    @cached_property
    def synthetic(self):
        self._progress.clear()
        return data.synthetic(self._built, 100000 if self.quick else 1000000)

    @property
    def wordnet_lists(self):
        return 256 if self.quick else 1024

    @property
    def synthetic_lists(self):
        return 512 if self.quick else 4096

    def head(self, of, n):
        """The first @n rows of a data set, for rates: recall cannot be asked for."""
        n = min(n, len(of.rows))
        return dataclasses.replace(of, rows=of.rows[:n], least=None, key=f"{of.key}-{n}")

    def engine(self, of, with_cells):
        key = (of.key, with_cells)
        if key not in self._engines:
            self._engines[key] = Engine(of, with_cells)
        return self._engines[key]

    def steps(self, total):
        """A function that says what is next, @total times; without @advance it only says more."""
        done = -1

        def step(text, advance=True):
            nonlocal done
            done = min(done + advance, total)
            self._progress.step(done, total, text)

        return step
