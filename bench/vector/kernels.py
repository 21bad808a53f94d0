"""How fast codes are scanned: the kernels alone, then whole searches by code, against Faiss's two product quantisers."""

import numpy as np

from bench.timing import Work, interleaved, one_by_one
from bench.vector import ours, rivals
from bench.vector.data import K

IN_CACHE_GROUPS = 32  # 384 KiB of codes: beside the table in any L2 of this decade
SMALL = 100000
LEAST_BYTES = 200e6  # to scan or to read in a round


def run(world):
    step = world.steps(8)
    large = world.synthetic
    n = min(SMALL, len(large.rows) // 2)
    small = world.head(world.wordnet if len(world.wordnet.rows) >= n else large, n)
    step("training")
    flat = world.engine(small, with_cells=False)
    step("kernels")
    rate = _kernels(world, flat.codebook, small, large)
    step(f"Faiss's codes of {small}")
    pq, fast = rivals.faiss_codes(small, "PQ48x8np", 65536), rivals.faiss_codes(small, "PQ96x4fs", 65536)
    step(f"searches of {small}")
    found = _searches(world, small, flat.segment(), pq, fast, queries=200)
    _against_kernel(world, small, rate, found["Faiss PQ48x8, one at a time"])
    step("AVX2")
    _avx2(world, small, flat.segment(), pq)
    step(f"Faiss's codes of {large}")
    pq, fast = rivals.faiss_codes(large, "PQ48x8np", 16384), rivals.faiss_codes(large, "PQ96x4fs", 16384)
    flat = world.engine(large, with_cells=False)
    step(f"searches of {large}")
    found = _searches(world, large, flat.segment(), pq, fast, queries=64)
    step("plain reads")
    _bandwidth(world, large, flat.segment())


def _groups(data):
    return -(-len(data.rows) // ours.GROUP)


def _kernels(world, codebook, small, large):
    """Rows for each kernel and a plain read, in cache and over all codes. The rate of ours over the small data set."""
    group_bytes = ours.GROUP * ours.CODE_BYTES
    pages = ours.Pages(_groups(large) * group_bytes)
    pages.bytes[:] = np.random.default_rng(3).integers(0, 256, pages.size, dtype=np.uint8)
    unit = small.queries[0]
    chosen = ours.kernels()[-1]
    for where, groups in (("in L2", IN_CACHE_GROUPS), (f"{len(small.rows):,} codes", _groups(small)),
                          (f"{len(large.rows):,} codes", _groups(large))):
        repeats = max(1, round(LEAST_BYTES / (groups * group_bytes)))
        works = {name: Work(_scan(name, pages, codebook, unit, groups, repeats if name == chosen else max(1, repeats // 8)),
                            groups * ours.GROUP * (repeats if name == chosen else max(1, repeats // 8)))
                 for name in ours.kernels()}
        works["read"] = Work(lambda: pages.read(groups * group_bytes, repeats), groups * group_bytes * repeats)
        timed = interleaved(works)
        ours.select(chosen)
        for name in ours.kernels():
            codes = timed[name].rate
            world.report.add(f"scan kernel {name}, {where}", 1e9 / codes, "ns/code", rival="plain read",
                             rival_value=1e9 / (timed["read"].rate / ours.CODE_BYTES), lower_is_better=True, data="random codes",
                             note=f"{codes * ours.CODE_BYTES / 1e9:.1f} GB/s; plain read {timed['read'].rate / 1e9:.1f} GB/s; "
                                  f"rounds {timed[name].spread}")
        if groups == _groups(small):
            rate = timed[chosen]
    return rate


def _scan(name, pages, codebook, unit, groups, repeats):
    def run():
        ours.select(name)
        pages.scan(codebook, unit, groups, repeats)

    return run


def _batches(search, queries, size):
    return Work(search.in_batches(size), len(queries))


def _searches(world, data, segment, pq, fast, queries):
    """k = 10 by code alone, everything scanned; queries a second."""
    some = data.queries[:queries]
    few = data.queries[: queries // 2]
    searcher = ours.Searcher(segment, some)
    works = {"ours, one at a time": one_by_one(*searcher.call())}
    for size in (16, 32):
        works[f"ours, batches of {size}"] = _batches(searcher, some, size)
    for rival, asked in ((pq, few), (fast, some)):
        works[f"{rival.name}, one at a time"] = one_by_one(*rival.call(asked))
        works[f"{rival.name}, batches of 32"] = Work(rival.in_batches(asked, 32), len(asked))
    timed = interleaved(works)
    for mine, how in (("one at a time", "one at a time"), ("batches of 16", "batches of 32"), ("batches of 32", "batches of 32")):
        for rival in (pq, fast):
            _compare(world, f"search by code, {len(data.rows):,}, {mine}", timed[f"ours, {mine}"], f"{rival.name}, {how}",
                     timed[f"{rival.name}, {how}"], data)
    for size in (16, 32):
        _compare(world, f"search by code, {len(data.rows):,}, batches of {size}", timed[f"ours, batches of {size}"],
                 "ours, one at a time", timed["ours, one at a time"], data)
    searcher.free()
    return timed


def _compare(world, name, mine, rival, theirs, data, note=""):
    world.report.add(name, mine.rate, "queries/s", rival=rival, rival_value=theirs.rate, data=str(data),
                     note=f"k = {K}, all codes; {note}rounds {mine.spread}, rival's {theirs.spread}")


def _against_kernel(world, data, kernel, pq):
    codes = pq.rate * len(data.rows)
    world.report.add(f"scan kernel, {len(data.rows):,} codes", kernel.rate / 1e6, "M codes/s", rival="Faiss PQ48x8, whole search",
                     rival_value=codes / 1e6, data=str(data), note=f"rounds {kernel.spread}, rival's {pq.spread}")


def _avx2(world, data, segment, pq):
    names = ours.kernels()
    if "avx2" not in names:
        return
    few = data.queries[:100]
    searcher = ours.Searcher(segment, few)
    ours.select("avx2")
    timed = interleaved({"ours": one_by_one(*searcher.call()), "pq": one_by_one(*pq.call(few))})
    ours.select(names[-1])
    searcher.free()
    _compare(world, f"search by code with the AVX2 kernel, {len(data.rows):,}", timed["ours"], f"{pq.name}, one at a time",
             timed["pq"], data)


def _bandwidth(world, data, segment):
    """One query at a time over codes that no cache near the core holds, beside a plain read of as many bytes."""
    size = _groups(data) * ours.GROUP * ours.CODE_BYTES
    pages = ours.Pages(size)
    some = data.queries[:64]
    searcher = ours.Searcher(segment, some)
    timed = interleaved({"search": one_by_one(*searcher.call()), "read": Work(lambda: pages.read(size, len(some)), len(some))})
    searcher.free()
    search, read = timed["search"], timed["read"]
    world.report.add(f"search by code, {len(data.rows):,}, share of a plain read", search.rate * size / 1e9, "GB/s",
                     rival="plain read of the same bytes", rival_value=read.rate * size / 1e9, data=str(data),
                     note=f"one at a time; rounds {search.spread}, read {read.spread}")
