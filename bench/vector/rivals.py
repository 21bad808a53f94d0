"""Other people's indexes over the same rows, with the settings that are tried.

What takes long to build is kept in .cache/bench/rivals, with how long it took, on how many threads and which machine.
"""

import contextlib
import dataclasses
import json
import os
import time
from dataclasses import asdict, dataclass
from itertools import product

import faiss
import hnswlib
import numpy as np
from usearch.index import Index as USearchIndex

from bench.report import machine
from bench.vector.data import CACHE, DIMENSION, K

BUILD_THREADS = os.cpu_count()
KEPT = CACHE / "rivals"
SEED = 5


@dataclass(frozen=True)
class Built:
    seconds: float  # by the clock
    processor_seconds: float  # of all threads
    threads: int
    machine: str
    bytes: int  # of the file

    def __str__(self):
        return f"{self.seconds:.0f} s by the clock with {self.threads} threads on {self.machine}"


@contextlib.contextmanager
def faiss_threads(n):
    faiss.omp_set_num_threads(n)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(1)


def _kept(name, key, threads, build, save, load):
    """(index, Built): from the cache, or built now and put there."""
    KEPT.mkdir(parents=True, exist_ok=True)
    path, about = KEPT / f"{name}-{key}", KEPT / f"{name}-{key}.json"
    if about.exists():
        return load(path), Built(**json.loads(about.read_text()))
    start, start_processor = time.perf_counter(), time.process_time()
    index = build()
    taken = time.perf_counter() - start, time.process_time() - start_processor
    save(index, path)
    built = Built(*taken, threads, machine(), path.stat().st_size)
    about.write_text(json.dumps(asdict(built)))
    return index, built


def _faiss_kept(name, data, threads, build):
    def build_on_threads():
        with faiss_threads(threads):
            return build()

    return _kept(name, data.key, threads, build_on_threads, lambda index, path: faiss.write_index(index, str(path)),
                 lambda path: faiss.read_index(str(path)))


class FaissIndex:
    """One index and what can be set about it; `at` applies a setting."""

    def __init__(self, name, index, built):
        self.name, self.index, self.built = name, index, built

    def at(self, **setting):
        for key, value in setting.items():
            setattr(self.index, key, value)
        return self

    def call(self, queries):
        """The function and its arguments for each query: Faiss's C++ method without the Python around it."""
        self._results = distances, ids = np.empty((len(queries), K), dtype=np.float32), np.empty((len(queries), K), dtype=np.int64)
        return self.index.search_c, [(1, faiss.swig_ptr(queries[i]), K, faiss.swig_ptr(distances[i]), faiss.swig_ptr(ids[i]))
                                     for i in range(len(queries))]

    def in_batches(self, queries, size):
        def work():
            for i in range(0, len(queries), size):
                self.index.search(queries[i : i + size], K)

        return work

    def found(self, queries):
        with faiss_threads(BUILD_THREADS):
            return self.index.search(queries, K)[1]


class FaissRefined(FaissIndex):
    """Scores the k_factor * K best of @base again by their float32 rows, which all indexes of a data set share."""

    def __init__(self, name, base, built, refine):
        super().__init__(name, refine, built)
        self._base = base

    def at(self, k_factor, nprobe=None):
        self.index.base_index = self._base
        self.index.k_factor = k_factor
        if nprobe is not None:
            self._base.nprobe = nprobe
        return self


class FaissGraph(FaissIndex):
    def at(self, ef):
        self.index.hnsw.efSearch = ef
        return self


class Hnswlib:
    name = "hnswlib"

    def __init__(self, data, progress=lambda done: None):
        self.index, self.built = _kept("hnswlib-16-200", data.key, BUILD_THREADS, lambda: self._build(data.rows, progress),
                                       lambda index, path: index.save_index(str(path)),
                                       lambda path: self._load(path, len(data.rows)))
        self.index.set_num_threads(1)

    @staticmethod
    def _build(rows, progress):
        index = hnswlib.Index(space="ip", dim=DIMENSION)
        index.init_index(max_elements=len(rows), M=16, ef_construction=200, random_seed=SEED)
        for i in range(0, len(rows), 20000):
            progress(i / len(rows))
            index.add_items(rows[i : i + 20000], np.arange(i, min(i + 20000, len(rows))), num_threads=BUILD_THREADS)
        return index

    @staticmethod
    def _load(path, n):
        index = hnswlib.Index(space="ip", dim=DIMENSION)
        index.load_index(str(path), max_elements=n)
        return index

    def at(self, ef):
        self.index.set_ef(ef)
        return self

    def call(self, queries):
        return self.index.knn_query, [(queries[i : i + 1], K, 1) for i in range(len(queries))]

    def found(self, queries):
        return self.index.knn_query(queries, K, BUILD_THREADS)[0].astype(np.int64)


class USearch:
    name = "USearch"

    def __init__(self, data):
        self.index, self.built = _kept("usearch-16-200", data.key, BUILD_THREADS, lambda: self._build(data.rows),
                                       lambda index, path: index.save(str(path)), lambda path: USearchIndex.restore(str(path)))
        self.name = f"USearch {self.index.dtype.name.lower()}"

    @staticmethod
    def _build(rows):
        index = USearchIndex(ndim=DIMENSION, metric="ip", connectivity=16, expansion_add=200)
        index.add(np.arange(len(rows)), rows, threads=BUILD_THREADS)
        return index

    def at(self, ef):
        self.index.expansion_search = ef
        return self

    def call(self, queries):
        search = self.index.search
        return lambda query: search(query, K, threads=1), [(query,) for query in queries]

    def found(self, queries):
        return self.index.search(queries, K, threads=BUILD_THREADS).keys.astype(np.int64)


# ---- Faiss's codes --------------------------------------------------------------------------


def faiss_codes(data, factory, samples, opq_rounds=12):
    """An exhaustive index after @factory, such as "OPQ48_384,PQ48x8np", trained on @samples rows. "np" is Faiss's word for
    leaving the centroids in the order in which training finds them: another takes a minute and changes no distance."""

    def build():
        index = faiss.index_factory(DIMENSION, factory)
        if isinstance(index, faiss.IndexPreTransform) and factory.startswith("OPQ"):
            # 50 rounds, its default, take minutes.
            opq = faiss.downcast_VectorTransform(index.chain.at(0))
            opq.niter, opq.niter_pq_0 = opq_rounds, 20
        index.train(data.sample(samples))
        index.add(data.rows)
        return index

    index, built = _faiss_kept(f"{factory.replace(',', '-')}-{samples}-{opq_rounds}", data, 1, build)
    return FaissIndex(f"Faiss {factory.removesuffix('np')}", index, built)


# ---- Those that search ----------------------------------------------------------------------


def _coarse(data, lists):
    """Trained once for all inverted files of a data set: (quantiser, seconds)."""

    def build():
        kmeans = faiss.Kmeans(DIMENSION, lists, niter=10, seed=SEED, max_points_per_centroid=64)
        kmeans.train(data.sample(min(64 * lists, 131072)))
        quantiser = faiss.IndexFlatL2(DIMENSION)
        quantiser.add(kmeans.centroids)
        return quantiser

    return _faiss_kept(f"coarse-{lists}", data, BUILD_THREADS, build)


def _both(coarse, built):
    return dataclasses.replace(built, seconds=built.seconds + coarse.seconds,
                               processor_seconds=built.processor_seconds + coarse.processor_seconds)


def _inverted(data, name, lists, make, samples):
    quantiser, coarse = _coarse(data, lists)

    def build():
        index = make(quantiser)
        index.own_fields = False
        index.train(data.sample(samples))
        index.add(data.rows)
        return index

    index, built = _faiss_kept(f"{name}-{lists}-{samples}", data, BUILD_THREADS, build)
    return index, _both(coarse, built), quantiser


class FaissFamily:
    """Faiss's indexes with refinement over one data set."""

    def __init__(self, data, lists, step):
        d, l2, self._keep = DIMENSION, faiss.METRIC_L2, []
        step("Faiss IVFPQ")
        ivfpq = self._of(_inverted(data, "IVFPQ48", lists, lambda q: faiss.IndexIVFPQ(q, d, lists, 48, 8, l2), 32768))
        step("Faiss IVFPQFastScan")
        ivffs = self._of(_inverted(data, "IVFPQ96fs", lists, lambda q: faiss.IndexIVFPQFastScan(q, d, lists, 96, 4, l2), 65536))
        step("Faiss IVFRaBitQFastScan")
        rabitq = self._of(_inverted(data, "IVFRaBitQfs", lists, lambda q: faiss.IndexIVFRaBitQFastScan(q, d, lists, l2), 65536))
        step("Faiss PQFastScan")
        flat = faiss_codes(data, "PQ96x4fs", 65536)
        refine = faiss.IndexRefineFlat(ivfpq[0], faiss.swig_ptr(data.rows))
        refine.own_fields = False
        self.indexes = [
            FaissRefined("Faiss IVFPQ48x8+Refine", *ivfpq, refine),
            FaissRefined("Faiss IVFPQ96x4fs+Refine", *ivffs, refine),
            FaissRefined("Faiss IVFRaBitQfs+Refine", *rabitq, refine),
            FaissRefined("Faiss PQ96x4fs+Refine", flat.index, flat.built, refine),
        ]

    def _of(self, made):
        index, built, quantiser = made
        self._keep.append(quantiser)
        return index, built


def faiss_graph(data):
    def build():
        index = faiss.IndexHNSWFlat(DIMENSION, 32, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = 100
        index.add(data.rows)
        return index

    return FaissGraph("Faiss HNSW32", *_faiss_kept("hnsw-32-100", data, BUILD_THREADS, build))


GRAPH_SETTINGS = [{"ef": ef} for ef in (10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)]
FLAT_SETTINGS = [{"k_factor": k} for k in (2, 5, 10, 20, 40)]
INVERTED_SETTINGS = [{"nprobe": n, "k_factor": k} for n, k in product((2, 4, 8, 16, 32, 64, 128, 256), (2, 5, 10, 20, 40))]


def settings_of(contender):
    if isinstance(contender, FaissRefined):
        return FLAT_SETTINGS if "IVF" not in contender.name else INVERTED_SETTINGS
    return GRAPH_SETTINGS
