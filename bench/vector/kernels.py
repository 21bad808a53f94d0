"""How fast codes are scanned: the kernels alone, then whole searches by code, against Faiss's two product quantisers."""

import numpy as np

from bench.timing import Work, interleaved, one_by_one
from bench.vector import ours, rivals
from bench.vector.data import K

IN_CACHE_GROUPS = 32  # 384 KiB of codes: beside the table in any L2 of this decade
SMALL = 100000
BATCHES = (16, 32, ours.BATCH)
LEAST_BYTES = 200e6  # to scan or to read in a round


def run(world):
    step = world.steps(8)
    large = world.synthetic
    n = min(SMALL, len(large.rows) // 2)
    small = world.head(world.wordnet if len(world.wordnet.rows) >= n else large, n)
    step("training")
    flat = world.engine(small, with_cells=False)
    step("kernels")
    rates = _kernels(world, flat.codebook, small, large)
    step(f"Faiss's codes of {small}")
    pq, fast = rivals.faiss_codes(small, "PQ48x8np", 65536), rivals.faiss_codes(small, "PQ96x4fs", 65536)
    step(f"searches of {small}")
    found = _searches(world, small, flat.segment(), pq, fast, queries=4 * ours.BATCH)
    _against_kernel(world, small, rates, found["Faiss PQ48x8, one at a time"])
    step("AVX2")
    _avx2(world, small, flat.segment(), pq)
    step(f"Faiss's codes of {large}")
    pq, fast = rivals.faiss_codes(large, "PQ48x8np", 16384), rivals.faiss_codes(large, "PQ96x4fs", 16384)
    flat = world.engine(large, with_cells=False)
    step(f"searches of {large}")
    found = _searches(world, large, flat.segment(), pq, fast, queries=ours.BATCH)
    step("plain reads")
    _bandwidth(world, large, flat.segment())


def _groups(data):
    return -(-len(data.rows) // ours.GROUP)


def _kernels(world, codebook, small, large):
    """Rows for each kernel and a plain read, in cache and over all codes. The rates of ours over the small data set."""
    group_bytes = ours.GROUP * ours.CODE_BYTES
    pages = ours.Pages(_groups(large) * group_bytes)
    pages.bytes[:] = np.random.default_rng(3).integers(0, 256, pages.size, dtype=np.uint8)
    chosen = ours.kernels()[-1]
    for where, groups in (("in L2", IN_CACHE_GROUPS), (f"{len(small.rows):,} codes", _groups(small)),
                          (f"{len(large.rows):,} codes", _groups(large))):
        repeats = max(1, round(LEAST_BYTES / (groups * group_bytes)))
        fewer = max(1, repeats // 8)
        works = {}
        for name in ours.kernels():
            works[name] = _scan(name, pages, codebook, small.queries, groups, repeats if name == chosen else fewer, 1)
            works[f"{name} for {ours.BATCH} queries"] = _scan(name, pages, codebook, small.queries, groups, fewer, ours.BATCH)
        works["read"] = Work(lambda: pages.read(groups * group_bytes, repeats), groups * group_bytes * repeats)
        timed = interleaved(works)
        ours.select(chosen)
        read = timed.pop("read")
        for name, work in timed.items():
            world.report.add(f"scan kernel {name}, {where}", 1e9 / work.rate, "ns/code", rival="plain read",
                             rival_value=1e9 / (read.rate / ours.CODE_BYTES), lower_is_better=True, data="random codes",
                             note=f"of each query; {work.rate * ours.CODE_BYTES / 1e9:.1f} GB/s; plain read {read.rate / 1e9:.1f} GB/s; "
                                  f"rounds {work.spread}")
        if groups == _groups(small):
            rates = {"one query": timed[chosen], f"{ours.BATCH} queries": timed[f"{chosen} for {ours.BATCH} queries"]}
    return rates


def _scan(name, pages, codebook, units, groups, repeats, queries):
    def run():
        ours.select(name)
        if queries == 1:
            pages.scan(codebook, units[0], groups, repeats)
        else:
            pages.scan_batch(codebook, units, groups, repeats)

    return Work(run, groups * ours.GROUP * repeats * queries)


def _batches(search, queries, size):
    return Work(search.in_batches(size), len(queries))


def _searches(world, data, segment, pq, fast, queries):
    """k = 10 by code alone, everything scanned; queries a second."""
    some = data.queries[:queries]
    few = data.queries[: queries // 2]
    searcher = ours.Searcher(segment, some)
    works = {"ours, one at a time": one_by_one(*searcher.call())}
    for size in BATCHES:
        works[f"ours, batches of {size}"] = _batches(searcher, some, size)
    for rival, asked in ((pq, few), (fast, some)):
        works[f"{rival.name}, one at a time"] = one_by_one(*rival.call(asked))
        works[f"{rival.name}, batches of {ours.BATCH}"] = Work(rival.in_batches(asked, ours.BATCH), len(asked))
    timed = interleaved(works)
    for mine in ("one at a time", *(f"batches of {size}" for size in BATCHES)):
        how = mine if mine == "one at a time" else f"batches of {ours.BATCH}"
        for rival in (pq, fast):
            _compare(world, f"search by code, {len(data.rows):,}, {mine}", timed[f"ours, {mine}"], f"{rival.name}, {how}",
                     timed[f"{rival.name}, {how}"], data)
    for size in BATCHES:
        _compare(world, f"search by code, {len(data.rows):,}, batches of {size}", timed[f"ours, batches of {size}"],
                 "ours, one at a time", timed["ours, one at a time"], data)
    searcher.free()
    return timed


def _compare(world, name, mine, rival, theirs, data, note=""):
    world.report.add(name, mine.rate, "queries/s", rival=rival, rival_value=theirs.rate, data=str(data),
                     note=f"k = {K}, all codes; {note}rounds {mine.spread}, rival's {theirs.spread}")


def _against_kernel(world, data, rates, pq):
    codes = pq.rate * len(data.rows)
    for queries, kernel in rates.items():
        world.report.add(f"scan kernel, {queries}, {len(data.rows):,} codes", kernel.rate / 1e6, "M codes/s",
                         rival="Faiss PQ48x8, whole search", rival_value=codes / 1e6, data=str(data),
                         note=f"for each query; rounds {kernel.spread}, rival's {pq.spread}")


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
