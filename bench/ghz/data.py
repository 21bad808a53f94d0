"""What the configurations in bench/ghz/*.json send, of a store filled with WordNet: the files in .cache/bench/ghz that they name."""

import base64
import itertools
import json
import random

from bench.rpc import requests
from bench.vector.data import CACHE, K, wordnet

FOLDER = CACHE / "ghz"
DIFFERENT = 100  # requests in a file, sent by turns
BATCH, GETS, QUERIES, PAIRS, STREAM = 16, 100, 8, 16, 4


def _vector(row):
    return {"f32le": base64.b64encode(row.astype("<f4").tobytes()).decode()}


def _items(rows, name):
    return [{"id": f"ghz-{name}-{i}", "content": f"Item {i} of a batch.", "embedding": _vector(row)} for i, row in enumerate(rows)]


def _requests(ids, rows):
    """For each file its messages; of a stream, those of one call."""
    rng = random.Random(1)

    def some(n):
        return rng.sample(ids, n)

    def times(request, n=DIFFERENT):
        return [request() for _ in range(n)]

    queries = itertools.cycle({"embedding": _vector(row)} for row in rows)
    ends = times(lambda: dict(zip(("source", "target"), some(2))) | {"type": "ASSOCIATION_TYPE_SEMANTIC", "label": "ghz"})
    batches = [_items(rows[i * BATCH : (i + 1) * BATCH], i) for i in range(STREAM)]
    return {
        "learn-batch": [{"items": items} for items in batches],
        "import": [{"items": items} for items in batches],
        "get": times(lambda: {"id": some(1)[0]}),
        "batch-get": times(lambda: {"ids": some(GETS)}),
        "associate": [{"association": each} for each in ends],
        "dissociate": [{"key": each} for each in ends],
        "neighbors": times(lambda: {"id": some(1)[0]}),
        "search": times(lambda: {"query": next(queries), "k": K}),
        "batch-search": times(lambda: {"queries": [next(queries) for _ in range(QUERIES)], "k": K}, DIFFERENT // QUERIES),
        "distance": times(lambda: {"pairs": [dict(zip("ab", some(2))) for _ in range(PAIRS)]}),
        "reinforce": times(lambda: {"id": some(1)[0]}),
    }


def write(built, ids):
    """@ids of what is stored."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, messages in _requests([id.decode() for id in ids], wordnet(built).queries).items():
        (FOLDER / f"{name}.json").write_text(json.dumps(messages), encoding="utf-8")


def first(path, concepts, batch, into):
    """The requests of @path up to so many concepts."""
    return requests.write(into, [bytes(each) for each in itertools.islice(requests.read(path), concepts // batch)])
