"""ghz's configurations, bench/ghz/VERB.json, and the messages that they find in files. Nothing but Python: tests load it, too."""

import base64
import itertools
import json
import pathlib
import random
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILES = pathlib.Path(".cache/bench/ghz")  # as the configurations name them
NOT_LOADED = {"AdminService.TrainCodebook"}  # takes minutes, and one at a time
DIFFERENT = 100  # requests in a file, sent by turns
BATCH, GETS, QUERIES, PAIRS, STREAM, K = 16, 100, 8, 16, 4, 10


def configurations():
    """By verb, those that write first; every verb of the public contract has one, or a reason."""
    found = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted((ROOT / "bench/ghz").glob("*.json"))}
    public = {f"{service}.{verb}" for path in (ROOT / "proto/sutra/v1").glob("*.proto")
              for service, body in re.findall(r"^service (\w+) \{(.*?)^\}", path.read_text(encoding="utf-8"), re.M | re.S)
              for verb in re.findall(r"^  rpc (\w+)\(", body, re.M)}
    missing = public - NOT_LOADED - {each["call"].removeprefix("sutra.v1.") for each in found.values()}
    if missing:
        raise SystemExit(f"bench: no configuration in bench/ghz for {', '.join(sorted(missing))}")
    # What put wrote is deleted, what associate wrote is dissociated.
    order = ["put", "delete", "associate", "dissociate"]
    return dict(sorted(found.items(), key=lambda each: (each[0] not in order, order.index(each[0]) if each[0] in order else 0, each[0])))


def _vector(row):
    return {"f32le": base64.b64encode(row).decode()}


def _items(rows, name):
    return [{"id": f"ghz-{name}-{i}", "content": f"Item {i} of a batch.", "embedding": _vector(row)} for i, row in enumerate(rows)]


def _messages(ids, rows):
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


def write(ids, rows, below=pathlib.Path(".")):
    """@ids of what is stored, @rows vectors to ask and to write with, little-endian float32; the files below a folder."""
    (below / FILES).mkdir(parents=True, exist_ok=True)
    for name, messages in _messages(ids, rows).items():
        (below / FILES / f"{name}.json").write_text(json.dumps(messages), encoding="utf-8")
