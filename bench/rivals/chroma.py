"""Chroma through its own API, embedded and on disk, in a process of its own; prints one JSON object.

    python -m bench.rivals.chroma ingest REQUESTS COUNT     the first COUNT concepts of a file of ImportRequests
    python -m bench.rivals.chroma search DATA               base and queries of a .npz file, base with every id its row number

Chroma is as it comes: HNSW by cosine, batches as large as it takes them, its database in a folder that is removed.
"""

import json
import pathlib
import sys
import tempfile
import time

import chromadb
import numpy as np

from bench.rpc import requests

ID, CONTENT, EMBEDDING, F32LE, K, BATCH, SECONDS = 1, 2, 3, 2, 10, 100, 10


def _concepts(path, count):
    """(id, content, vector) of the first @count items."""
    items = (item for request in requests.read(pathlib.Path(path)) for number, item in requests.fields(request) if number == 1)
    for _, item in zip(range(count), items):
        found = dict(requests.fields(item))
        vector = np.frombuffer(dict(requests.fields(found[EMBEDDING]))[F32LE], "<f4")
        yield bytes(found[ID]).decode(), bytes(found[CONTENT]).decode(), vector


def _collection(folder):
    client = chromadb.PersistentClient(folder, settings=chromadb.Settings(anonymized_telemetry=False))
    return client.create_collection("concepts", metadata={"hnsw:space": "cosine"}), client.get_max_batch_size()


def _add(collection, batch, ids, vectors, documents=None):
    """How many a second; the arguments are prepared before."""
    begin = time.perf_counter()
    for i in range(0, len(ids), batch):
        rows = slice(i, i + batch)
        collection.add(ids=ids[rows], embeddings=vectors[rows], documents=documents and documents[rows])
    return len(ids) / (time.perf_counter() - begin)


def ingest(folder, path, count):
    ids, documents, vectors = zip(*_concepts(path, int(count)))
    return {"rate": _add(*_collection(folder), list(ids), np.stack(vectors), list(documents))}


def _ask(collection, queries, batch):
    """Rows of the answers, and queries a second, over and over for some seconds."""
    answers, done, begin = [], 0, time.perf_counter()
    while time.perf_counter() - begin < SECONDS or len(answers) < len(queries):
        found = collection.query(query_embeddings=queries[done % len(queries) :][:batch], n_results=K, include=[])["ids"]
        answers += found if len(answers) < len(queries) else []
        done += len(found)
    return [[int(id) for id in hits] for hits in answers], done / (time.perf_counter() - begin)


def search(folder, data):
    arrays = np.load(data)
    collection, batch = _collection(folder)
    _add(collection, batch, [str(row) for row in range(len(arrays["base"]))], arrays["base"])
    answers, rate = _ask(collection, arrays["queries"], 1)
    return {"rate": rate, "batch_rate": _ask(collection, arrays["queries"], BATCH)[1], "answers": answers}


def main():
    with tempfile.TemporaryDirectory(prefix="sutra-bench-chroma-") as folder:
        print(json.dumps({"ingest": ingest, "search": search}[sys.argv[1]](folder, *sys.argv[2:])))


main()
