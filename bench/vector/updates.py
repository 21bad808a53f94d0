"""Encoding many vectors, inserting one at a time, and searching meanwhile."""

import faiss
import numpy as np

from bench.timing import CLOCK, Work, interleaved, one_by_one
from bench.vector import ours, rivals

ENCODED = 20000
INSERTED = 50000
REACH = 0.24


def run(world):
    data = world.wordnet
    step = world.steps(3)
    step("encoding")
    _encode(world, data)
    step("inserting")
    _insert(world, data)
    step("searching while another thread inserts")
    _search_while_inserting(world, data)


def _encode(world, data):
    codebook = world.engine(data, with_cells=False).codebook
    rows = data.rows[:ENCODED]
    refined = ours.refine(rows)
    rival = rivals.faiss_codes(data, "PQ48x8np", 32768)
    timed = interleaved({"floats": Work(lambda: codebook.encode_units(rows), len(rows)),
                         "rows": Work(lambda: codebook.encode(refined), len(rows)),
                         "rival": Work(lambda: rival.index.sa_encode(rows), len(rows))})
    for name, what in (("floats", "encode, from float rows"), ("rows", "encode, from int8 rows")):
        world.report.add(what, timed[name].rate, "vectors/s", rival=f"{rival.name} sa_encode", rival_value=timed["rival"].rate,
                         data=str(data), note=f"rounds {timed[name].spread}, rival's {timed['rival'].spread}")


def _new_rows(data, n):
    """Unit vectors that are near stored ones but none of them."""
    rng = np.random.default_rng(11)
    rows = data.rows[rng.choice(len(data.rows), n)] + np.float32(0.2 / np.sqrt(data.rows.shape[1])) * rng.standard_normal(
        (n, data.rows.shape[1]), dtype=np.float32)
    faiss.normalize_L2(rows)
    return rows


def _insert(world, data):
    """Row, code, cell, put; with cells, into a segment that has all of the data set."""
    engine = world.engine(data, with_cells=True)
    segment = ours.Segment(engine.codebook)
    segment.fill(engine.refined, engine.codes, engine.cells)
    rows = _new_rows(data, INSERTED)
    firsts = iter(range(len(data.rows), 2**32, INSERTED))
    timed = interleaved({"insert": Work(lambda: segment.insert(rows, next(firsts)), len(rows))})["insert"]
    segment.free()
    world.report.add("insert, one at a time", timed.rate, "vectors/s", data=str(data),
                     note=f"float row to row, code and cell, then put; one thread; rounds {timed.spread}")


def _search_while_inserting(world, data):
    engine = world.engine(data, with_cells=True)
    segment = ours.Segment(engine.codebook)
    segment.fill(engine.refined, engine.codes, engine.cells)
    rows, first = _new_rows(data, INSERTED), len(data.rows)
    segment.insert(rows, first)
    searcher = ours.Searcher(segment, data.queries, r=100, reach=REACH)
    work = one_by_one(*searcher.call())
    inserted = []

    def while_inserting():
        started = CLOCK()
        with segment.inserting(rows, first) as inserting:
            work.run()
        inserted.append(inserting.count / (CLOCK() - started))

    timed = interleaved({"meanwhile": Work(while_inserting, work.count), "alone": work}, timer=CLOCK)
    searcher.free()
    segment.free()
    world.report.add("search while a thread inserts at full speed", timed["meanwhile"].rate, "queries/s", rival="ours, alone",
                     rival_value=timed["alone"].rate, threads=2, data=str(data),
                     note=f"{np.median(inserted):,.0f} vectors/s put by the other thread, as replacements; by the clock; "
                          f"rounds {timed['meanwhile'].spread}, alone {timed['alone'].spread}")
