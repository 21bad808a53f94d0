"""What a filter costs, or saves: all codes are scanned, but for groups without a member."""

import numpy as np

from bench.timing import interleaved, one_by_one
from bench.vector import ours

QUERIES = 64
SHARES = (1.0, 0.5, 0.1, 0.01)
RUN = 4096  # concepts one behind the other, where members are clustered


def run(world):
    data = world.synthetic
    step = world.steps(2)
    step("a segment")
    segment = world.engine(data, with_cells=False).segment()
    filters = {f"{share:.0%} of all, at random": ours.Filter(segment, _random(len(data.rows), share)) for share in SHARES}
    filters |= {f"{share:.0%} of all, in runs of {RUN:,}": ours.Filter(segment, _runs(len(data.rows), share)) for share in SHARES[2:]}
    searchers = {"none": ours.Searcher(segment, data.queries[:QUERIES])}
    searchers |= {name: ours.Searcher(segment, data.queries[:QUERIES], only=only) for name, only in filters.items()}
    step("scans")
    timed = interleaved({name: one_by_one(*searcher.call()) for name, searcher in searchers.items()})
    for name in filters:
        world.report.add(f"scan with a filter, {name}", timed[name].rate * len(data.rows) / 1e6, "M codes/s", rival="ours, without filter",
                         rival_value=timed["none"].rate * len(data.rows) / 1e6, data=str(data),
                         note=f"search by code, one at a time; rounds {timed[name].spread}, without {timed['none'].spread}")
        searchers[name].free()
        filters[name].free()
    searchers["none"].free()


def _random(n, share):
    return np.flatnonzero(np.random.default_rng(17).random(n) < share)


def _runs(n, share):
    starts = np.random.default_rng(19).permutation(n // RUN)[: max(1, round(share * n / RUN))]
    return (np.sort(starts)[:, None] * RUN + np.arange(RUN)).ravel()
