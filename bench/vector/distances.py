"""Similarities of stored concepts, and finding them by id."""

import numpy as np

from bench.timing import Work, interleaved

PAIRS = 1000000  # as many as there are concepts
MANY = 500000  # that one concept is compared with: groups hold many of them, or, of FEW, hardly one
FEW = 1000


def run(world):
    data = world.synthetic
    step = world.steps(2)
    step("a segment")
    segment = world.engine(data, with_cells=True).segment()
    rng = np.random.default_rng(13)
    a, b = rng.integers(0, len(data.rows), (2, PAIRS))
    many, few = rng.integers(0, len(data.rows), MANY), rng.integers(0, len(data.rows), FEW)
    query = data.queries[0]
    step("distances")
    works = {"random stored pairs, by row": Work(segment.pairs(a, b), PAIRS),
             "random stored pairs, by code": Work(segment.pairs(a, b, by_code=True), PAIRS),
             "one concept and many random ones, by row": Work(segment.score(query, many), MANY),
             "one concept and many random ones, by code": Work(segment.score(query, many, by_code=True), MANY),
             "one concept and few random ones, by code": _often(segment.score(query, few, by_code=True), FEW),
             "lookups of random ids": Work(segment.find(a), PAIRS)}
    timed = interleaved(works)
    for name, work in timed.items():
        at_once = FEW if "few" in name else MANY if "many" in name else PAIRS
        world.report.add(name, work.rate / 1e6, "M/s", data=str(data), note=f"{at_once:,} in one call, int8 rows; rounds {work.spread}")


def _often(run, count):
    """Calls too short for the clock."""

    def repeat():
        for _ in range(100):
            run()

    return Work(repeat, 100 * count)
