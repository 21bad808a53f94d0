"""Queries a second, one at a time, at equal recall@10: ours with cells and refinement against graphs and inverted files."""

from dataclasses import dataclass
from itertools import product

from bench.timing import Work, interleaved, one_by_one, seconds
from bench.vector import ours, rivals
from bench.vector.data import K

TARGETS = (0.95, 0.98, 0.99)
REACHES = (*(step / 50 for step in range(1, 22)), 0)  # of cells, in cosine; 0: all of them
REFINED = (20, 35, 50, 70, 100, 200)
BATCH = 32
ENOUGH = 0.996
SWEPT = 300  # queries that a sweep times; recall is of all
STEPS = 2 * 8 + 2 * 9 + 2 * len(TARGETS)  # indexes made, sweeps, races


class Ours:
    """A segment in the shape of a rival: `at` a setting, then `call` or `found`."""

    built = None

    def __init__(self, segment, kind):
        self.name = f"Sutra {kind}"
        self._segment, self._searcher = segment, None

    def at(self, reach, r):
        self._reach, self._r = reach, r
        return self

    def _with(self, queries):
        if self._searcher is not None:
            self._searcher.free()
        self._searcher = ours.Searcher(self._segment, queries, self._r, self._reach)
        return self._searcher

    def call(self, queries):
        return self._with(queries).call()

    def in_batches(self, queries, size):
        return self._with(queries).in_batches(size)

    def found(self, queries):
        return self._with(queries).found().copy()


@dataclass(frozen=True)
class Point:
    setting: dict
    recall: float
    rate: float

    def __str__(self):
        return ", ".join(f"{key} {value if (key, value) != ('reach', 0) else 'all'}" for key, value in self.setting.items())


def run(world):
    """Sweeps of both data sets, for the plots: {data: {contender: [Point]}}."""
    sweeps = {}
    step = world.steps(STEPS)
    for data, lists, everything in ((world.wordnet, world.wordnet_lists, True), (world.synthetic, world.synthetic_lists, False)):
        contenders = _contenders(world, data, lists, everything, step)
        _builds(world, data, contenders)
        curves = {}
        for contender in contenders:
            step(f"{contender.name} over {data}")
            curves[contender.name] = _sweep(contender, data)
        for target in TARGETS:
            step(f"{data} at {target}")
            _race(world, data, contenders, curves, target)
        sweeps[str(data)] = curves
    return sweeps


def _contenders(world, data, lists, everything, step):
    """Ours first. Without @everything only what other people would use for so many rows."""
    step(f"ours over {data}")
    engine = world.engine(data, with_cells=True)
    found = [Ours(engine.segment(kind), kind) for kind in ours.FORMATS]
    found += rivals.FaissFamily(data, lists, lambda what: step(f"{what} over {data}")).indexes
    step(f"hnswlib's graph of {data}")
    found.append(rivals.Hnswlib(data, lambda done: step(f"hnswlib's graph of {data}: {done:.0%}", advance=False)))
    if everything:
        step(f"USearch's graph of {data}")
        found.append(rivals.USearch(data))
        step(f"Faiss's graph of {data}")
        found.append(rivals.faiss_graph(data))
    return found


def _settings(contender):
    if isinstance(contender, Ours):
        return [{"reach": reach, "r": r} for reach, r in product(REACHES, REFINED)]
    return rivals.settings_of(contender)


def _asks_no_more(a, b):
    """In any respect; 0 cells are all cells."""
    return all((a[key] or float("inf")) <= (b[key] or float("inf")) for key in a)


def _sweep(contender, data):
    """Without the settings that only ask more than one that has found nearly everything."""
    points = []
    for setting in _settings(contender):
        if any(point.recall >= ENOUGH and _asks_no_more(point.setting, setting) for point in points):
            continue
        recall = data.recall(contender.at(**setting).found(data.queries))
        work = one_by_one(*contender.call(data.queries[:SWEPT]))
        points.append(Point(setting, recall, work.count / seconds(work.run)))
    return points


def _fastest(points, target):
    return max((point for point in points if point.recall >= target), key=lambda point: point.rate, default=None)


def _at(contender, setting, work):
    """@work with the setting applied first: contenders share parts."""

    def run():
        contender.at(**setting)
        work.run()

    return Work(run, work.count)


def _race(world, data, contenders, curves, target):
    """The fastest setting of each that reaches @target, round by round."""
    queries = data.queries[:SWEPT] if world.quick else data.queries
    picks = {c.name: (c, point) for c in contenders if (point := _fastest(curves[c.name], target))}
    works = {name: _at(c, point.setting, one_by_one(*c.at(**point.setting).call(queries))) for name, (c, point) in picks.items()}
    timed = interleaved(works)
    mine = max((name for name in picks if name.startswith("Sutra")), key=lambda name: timed[name].rate, default=None)
    if mine is None:
        world.report.add(f"search at recall >= {target}", 0, "queries/s", data=str(data), note="no setting of ours reaches it")
        return
    point = picks[mine][1]
    for name, (_, other) in picks.items():
        if name.startswith("Sutra") and name != mine:
            continue
        rest = {} if name == mine else {"rival": name, "rival_value": timed[name].rate}
        theirs = "" if name == mine else f"; rival {other}, recall {other.recall:.3f}, rounds {timed[name].spread}"
        world.report.add(f"search at recall >= {target}", timed[mine].rate, "queries/s", recall=point.recall, data=str(data), **rest,
                         note=f"{mine}, {point}, k = {K}, one at a time, rounds {timed[mine].spread}{theirs}")
    _race_in_batches(world, data, picks, mine, target, queries)


def _race_in_batches(world, data, picks, mine, target, queries):
    """Faiss is at its best with many queries at once; so is a scan of ours."""
    fast = max((name for name in picks if name.startswith("Faiss IVF")), key=lambda name: picks[name][1].rate, default=None)
    if fast is None:
        return
    timed = interleaved({name: _at(*_pick(picks, name), Work(picks[name][0].at(**picks[name][1].setting).in_batches(queries, BATCH),
                                                             len(queries))) for name in (mine, fast)})
    world.report.add(f"search at recall >= {target}, batches of {BATCH}", timed[mine].rate, "queries/s", rival=fast,
                     rival_value=timed[fast].rate, recall=picks[mine][1].recall, data=str(data),
                     note=f"{mine}, {picks[mine][1]}, rounds {timed[mine].spread}; rival {picks[fast][1]}, rounds {timed[fast].spread}")


def _pick(picks, name):
    contender, point = picks[name]
    return contender, point.setting


def _builds(world, data, contenders):
    engine = world.engine(data, with_cells=True)
    parts = ", ".join(f"{what} {taken:.1f} s" for what, taken in engine.seconds.items() if "float16" not in what)
    for contender in contenders:
        if contender.built is not None:
            world.report.add("build", engine.build_seconds, "processor s", lower_is_better=True, rival=contender.name,
                             rival_value=contender.built.processor_seconds, data=str(data),
                             note=f"seconds of all threads; ours one thread, {engine.codebook.cells} cells: {parts}; rival "
                                  f"{contender.built}")
    for kind in ours.FORMATS:
        stats, n = engine.segment(kind).stats(), len(data.rows)
        world.report.add("memory without refinement rows", (stats.memory_bytes - stats.row_bytes) / n, "bytes/vector", data=str(data),
                         note=f"{kind}; codes, cells and ids")
        rest = _graph_bytes(contenders, n) if kind == "int8" else {}
        world.report.add(f"memory with {kind} rows", stats.memory_bytes / n, "bytes/vector", lower_is_better=True, data=str(data), **rest)


def _graph_bytes(contenders, n):
    graph = next(contender for contender in contenders if contender.name == "hnswlib")
    return {"rival": "hnswlib, its file", "rival_value": graph.built.bytes / n}
