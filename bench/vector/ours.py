"""The engine, in this process, through bench/vector_shim.c."""

import ctypes
from ctypes import POINTER, c_bool, c_char_p, c_float, c_size_t, c_uint32, c_uint64, c_uint8, c_void_p

import numpy as np

from bench.vector.data import DIMENSION, K

CODE_BYTES = 48
GROUP = 256
BATCH = 64  # queries whose codes are scanned at once
FORMATS = {"int8": 0, "float16": 1}
ROW_BYTES = {"int8": 4 + DIMENSION, "float16": 2 * DIMENSION}
KERNELS = ("portable", "neon", "avx2", "avx512bw", "avx512vbmi", "avx512amx")


class _Stats(ctypes.Structure):
    _fields_ = [(name, c_size_t) for name in ("count", "rows", "memory_bytes", "row_bytes", "groups")]


_PROTOTYPES = {
    "shim_kernel_select": (c_bool, c_char_p),
    "shim_kernel_name": (c_char_p,),
    "shim_pages": (c_void_p, c_size_t),
    "shim_scan": (None, c_void_p, c_void_p, c_void_p, c_size_t, c_size_t),
    "shim_scan_batch": (None, c_void_p, c_void_p, c_void_p, c_size_t, c_size_t),
    "shim_read": (c_uint64, c_void_p, c_size_t, c_size_t),
    "shim_cells_for": (c_uint32, c_uint64),
    "shim_train": (c_char_p, c_void_p, c_size_t, c_uint64, c_uint32, POINTER(c_void_p)),
    "shim_codebook_free": (None, c_void_p),
    "shim_refine": (None, c_uint32, c_void_p, c_size_t, c_void_p),
    "shim_encode": (None, c_void_p, c_void_p, c_size_t, c_void_p, c_void_p),
    "shim_encode_units": (None, c_void_p, c_void_p, c_size_t, c_void_p),
    "shim_segment": (c_void_p, c_void_p, c_uint32),
    "shim_segment_free": (None, c_void_p),
    "shim_fill": (c_char_p, c_void_p, c_uint32, c_void_p, c_void_p, c_void_p, c_uint32, c_size_t),
    "shim_insert": (c_char_p, c_void_p, c_void_p, c_uint32, c_size_t),
    "shim_inserter_start": (c_void_p, c_void_p, c_void_p, c_uint32, c_size_t),
    "shim_inserter_stop": (c_size_t, c_void_p),
    "shim_stats": (_Stats, c_void_p),
    "shim_filter": (c_void_p, c_void_p, c_void_p, c_size_t),
    "shim_filter_free": (None, c_void_p),
    "shim_searcher": (c_void_p, c_void_p, c_size_t, c_size_t, c_float, c_size_t, c_bool, c_void_p),
    "shim_searcher_free": (None, c_void_p),
    "shim_search": (c_char_p, c_void_p, c_void_p, c_size_t, c_void_p),
    "shim_ids": (None, c_void_p, c_size_t, c_void_p),
    "shim_pairs": (c_char_p, c_void_p, c_void_p, c_void_p, c_size_t, c_bool, c_void_p),
    "shim_score": (c_char_p, c_void_p, c_void_p, c_void_p, c_size_t, c_bool, c_void_p),
    "shim_find": (c_size_t, c_void_p, c_void_p, c_size_t, c_void_p),
}

_lib = None


def load(built):
    global _lib
    _lib = ctypes.CDLL(f"{built}/bench/libvector_shim.so")
    for name, (result, *arguments) in _PROTOTYPES.items():
        function = getattr(_lib, name)
        function.restype, function.argtypes = result, arguments


class Failed(Exception):
    pass


def _check(message):
    if message is not None:
        raise Failed(message.decode())


def _at(array):
    """Its address; the caller keeps it alive. The engine reads rows one behind the other."""
    assert array.flags.c_contiguous
    return array.ctypes.data


def kernels():
    """Names of those that this processor has; the engine's choice is last and stays selected."""
    chosen = _lib.shim_kernel_name().decode()
    names = [name for name in KERNELS if name != chosen and _lib.shim_kernel_select(name.encode())]
    select(chosen)
    return names + [chosen]


def select(kernel):
    if not _lib.shim_kernel_select(kernel.encode()):
        raise Failed(f"no kernel {kernel}")


def refine(rows, kind="int8"):
    """Refinement rows, [n][bytes]."""
    made = np.empty((len(rows), ROW_BYTES[kind]), dtype=np.uint8)
    _lib.shim_refine(FORMATS[kind], _at(rows), len(rows), _at(made))
    return made


class Pages:
    """Zeroed codes in large pages, for kernels alone; kept until the process ends."""

    def __init__(self, size):
        self.size = size
        self._at = _lib.shim_pages(size)
        self.bytes = np.ctypeslib.as_array((c_uint8 * size).from_address(self._at))

    def read(self, size, repeats):
        _lib.shim_read(self._at, size, repeats)

    def scan(self, codebook, unit, groups, repeats):
        _lib.shim_scan(codebook.handle, _at(unit), self._at, groups, repeats)

    def scan_batch(self, codebook, units, groups, repeats):
        """For BATCH queries."""
        _lib.shim_scan_batch(codebook.handle, _at(units[:BATCH]), self._at, groups, repeats)


class Codebook:
    def __init__(self, samples, stored, cells=0):
        self.cells = cells
        handle = c_void_p()
        _check(_lib.shim_train(_at(samples), len(samples), stored, cells, ctypes.byref(handle)))
        self.handle = handle

    def encode(self, refined):
        """Codes [n][48] and cells [n] (None where there are none) of int8 refinement rows."""
        codes = np.empty((len(refined), CODE_BYTES), dtype=np.uint8)
        cells = np.empty(len(refined), dtype=np.uint32) if self.cells else None
        _lib.shim_encode(self.handle, _at(refined), len(refined), _at(codes), None if cells is None else _at(cells))
        return codes, cells

    def encode_units(self, rows):
        """Codes of unit vectors, as others take them; their refinement rows are not kept."""
        codes = np.empty((len(rows), CODE_BYTES), dtype=np.uint8)
        _lib.shim_encode_units(self.handle, _at(rows), len(rows), _at(codes))
        return codes

    def free(self):
        _lib.shim_codebook_free(self.handle)


def cells_for(n):
    return _lib.shim_cells_for(n)


class Segment:
    """Concept i is row i of what is added."""

    def __init__(self, codebook, kind="int8"):
        self._kind = kind
        self.handle = _lib.shim_segment(codebook.handle, FORMATS[kind])
        if not self.handle:
            raise Failed("no memory for a segment")

    def fill(self, refined, codes, cells):
        _check(_lib.shim_fill(self.handle, FORMATS[self._kind], _at(refined), _at(codes),
                              None if cells is None else _at(cells), 0, len(codes)))

    def insert(self, rows, first):
        """One by one, from floats."""
        _check(_lib.shim_insert(self.handle, _at(rows), first, len(rows)))

    def inserting(self, rows, first):
        return _Inserting(self, rows, first)

    def stats(self):
        return _lib.shim_stats(self.handle)

    def pairs(self, a, b, by_code=False):
        """Work for the clock: similarities of the concepts a[i] and b[i]."""
        a, b, found = _Ids(a), _Ids(b), np.empty(len(a), dtype=np.float32)
        return lambda: _check(_lib.shim_pairs(self.handle, a.at, b.at, len(found), by_code, _at(found)))

    def score(self, query, ids, by_code=False):
        ids, found = _Ids(ids), np.empty(len(ids), dtype=np.float32)
        return lambda: _check(_lib.shim_score(self.handle, _at(query), ids.at, len(found), by_code, _at(found)))

    def find(self, ids):
        ids, found = _Ids(ids), np.empty(len(ids), dtype=bool)
        return lambda: _lib.shim_find(self.handle, ids.at, len(found), _at(found))

    def free(self):
        _lib.shim_segment_free(self.handle)


class _Ids:
    """struct segment_id [n]."""

    def __init__(self, numbers):
        self._numbers = np.ascontiguousarray(numbers, dtype=np.uint32)
        self._ids = np.empty((len(numbers), 2), dtype=np.uint64)
        self.at = _at(self._ids)
        _lib.shim_ids(_at(self._numbers), len(numbers), self.at)


class _Inserting:
    """A thread that inserts at full speed while the block runs; `count` is how many it has, once the block has ended."""

    def __init__(self, segment, rows, first):
        self._arguments = (segment.handle, _at(rows), first, len(rows))
        self.count = 0

    def __enter__(self):
        self._handle = _lib.shim_inserter_start(*self._arguments)
        return self

    def __exit__(self, *_):
        self.count = _lib.shim_inserter_stop(self._handle)


class Filter:
    def __init__(self, segment, ids):
        ids = np.ascontiguousarray(ids, dtype=np.uint32)
        self.handle = _lib.shim_filter(segment.handle, _at(ids), len(ids))

    def free(self):
        _lib.shim_filter_free(self.handle)


class Searcher:
    """Searches for @queries with one setting; without @r by code alone."""

    def __init__(self, segment, queries, r=None, reach=0, only=None):
        self._queries = queries
        self.ids = np.full((len(queries), K), -1, dtype=np.int64)
        self._handle = _lib.shim_searcher(segment.handle, K, r or 0, reach, 0, r is None, only and only.handle)

    def call(self):
        """The function and its arguments for each query."""
        handle, query, found = c_void_p(self._handle), self._queries, self.ids
        return _lib.shim_search, [
            (handle, c_void_p(_at(query) + i * query.strides[0]), c_size_t(1), c_void_p(_at(found) + i * found.strides[0]))
            for i in range(len(query))
        ]

    def in_batches(self, size):
        """Work for the clock: all queries, so many in each call."""

        def work():
            for i in range(0, len(self._queries), size):
                n = min(size, len(self._queries) - i)
                _check(_lib.shim_search(self._handle, _at(self._queries[i : i + n]), n, _at(self.ids[i : i + n])))

        return work

    def found(self):
        self.in_batches(32)()
        return self.ids

    def free(self):
        _lib.shim_searcher_free(self._handle)
