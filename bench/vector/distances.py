"""Similarities of stored concepts, and finding them by id."""

import numpy as np

from bench.timing import Work, interleaved

PAIRS = 200000


def run(world):
    data = world.synthetic
    step = world.steps(2)
    step("a segment")
    segment = world.engine(data, with_cells=True).segment()
    rng = np.random.default_rng(13)
    a, b = rng.integers(0, len(data.rows), (2, PAIRS))
    step("distances")
    works = {"random stored pairs, by row": segment.pairs(a, b), "random stored pairs, by code": segment.pairs(a, b, by_code=True),
             "one concept and random stored ones, by row": segment.score(data.queries[0], a),
             "one concept and random stored ones, by code": segment.score(data.queries[0], a, by_code=True),
             "lookups of random ids": segment.find(a)}
    timed = interleaved({name: Work(run, PAIRS) for name, run in works.items()})
    for name in works:
        world.report.add(name, timed[name].rate / 1e6, "M/s", data=str(data),
                         note=f"{PAIRS:,} in one call, int8 rows; rounds {timed[name].spread}")
