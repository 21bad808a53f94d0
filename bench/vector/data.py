"""The vectors to measure with, made or computed once and kept in .cache/bench."""

import hashlib
import os
import pathlib
import subprocess
from dataclasses import dataclass

import numpy as np

DIMENSION = 384
QUERIES = 1000
K = 10
CACHE = pathlib.Path(".cache/bench")
WORDNET = "/usr/share/wordnet"
TIE = 1e-6  # float32 products of 384 terms are not more exact


@dataclass(frozen=True)
class Data:
    name: str
    rows: np.ndarray  # [n][384], unit length
    queries: np.ndarray  # [1000][384], none of them among the rows
    least: np.ndarray  # [1000], product of each query with its 10th nearest row
    key: str  # names the content

    def __str__(self):
        return f"{self.name}, {len(self.rows):,} x {DIMENSION}"

    def recall(self, ids):
        """recall@10 of @ids [1000][10], -1 for none. Rows as near as the 10th are as good as it."""
        products = np.einsum("qd,qkd->qk", self.queries, self.rows[np.maximum(ids, 0)])
        good = (products >= self.least[:, None] - TIE) & (ids >= 0)
        return float(np.mean([len(set(row[ok])) for row, ok in zip(ids, good)])) / K

    def sample(self, n):
        """@n random rows, the same every time."""
        n = min(n, len(self.rows))
        return self.rows[np.sort(np.random.default_rng(7).choice(len(self.rows), n, replace=False))]


def wordnet(built, limit=None):
    """MiniLM's embeddings of WordNet's synsets, @limit of them evenly spaced, 1000 of them held out as queries."""
    everything = CACHE / "wordnet.f32"
    path = everything if limit is None or everything.exists() else CACHE / f"wordnet-{limit}.f32"
    if not path.exists():
        arguments = [] if limit is None else [str(limit)]
        _make(path, [f"{built}/bench/wordnet_vectors", WORDNET, "OUTPUT", str(os.cpu_count()), *arguments])
    vectors = _read(path)
    if limit is not None and len(vectors) > limit:
        vectors = vectors[np.arange(limit) * len(vectors) // limit]
    held_out = np.sort(np.random.default_rng(1).choice(len(vectors), QUERIES, replace=False))
    return _with_truth("WordNet", np.delete(vectors, held_out, axis=0), vectors[held_out])


def synthetic(built, n):
    path = CACHE / f"synthetic-{n}.f32"
    if not path.exists():
        _make(path, [f"{built}/bench/synthetic", str(n + QUERIES), "OUTPUT", str(os.cpu_count())])
    vectors = _read(path)
    return _with_truth("synthetic", vectors[:n], vectors[n:])


def _make(path, command):
    """Runs @command, which writes OUTPUT; an interrupted one leaves nothing behind."""
    CACHE.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    print(f"bench: making {path}", flush=True)
    subprocess.run([str(temporary) if word == "OUTPUT" else word for word in command], check=True)
    temporary.rename(path)


def _read(path):
    return np.fromfile(path, dtype=np.float32).reshape(-1, DIMENSION)


def _with_truth(name, rows, queries):
    rows, queries = np.ascontiguousarray(rows), np.ascontiguousarray(queries)
    key = hashlib.blake2b(rows.data, digest_size=8)
    key.update(queries.data)
    path = CACHE / f"truth-{key.hexdigest()}.npy"
    if not path.exists():
        np.save(path, _tenth_products(rows, queries))
    return Data(name, rows, queries, np.load(path), key.hexdigest())


def _tenth_products(rows, queries):
    best = np.full((len(queries), K), -np.inf, dtype=np.float32)
    for block in np.array_split(rows, max(1, len(rows) // 20000)):
        best = np.partition(np.hstack([best, queries @ block.T]), -K, axis=1)[:, -K:]
    return best.min(axis=1)
