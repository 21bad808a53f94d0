#!/usr/bin/env python3
"""What deploy/demo works out from the JSON that `sutra` printed into its folder: stats, hit, bench, seconds.

    demo_figures.py settled FOLDER   exit status 0 when the cluster has come to rest
    demo_figures.py hit FOLDER       the id of the first answer
    demo_figures.py json FOLDER      every figure in one JSON object
    demo_figures.py text FOLDER      the same for a person
"""

import json
import pathlib
import sys

TRAIN_THRESHOLD = 10000


def settled(read):
    """Associations have reached the shard of their target; the codebook, if one is due, is in use; none is being made."""
    total = read("stats")["total"]
    version = total.get("codebook", {}).get("version", 0)
    trained = version > 0 and total["vectors_encoded"] == total["vectors"]
    at_rest = total.get("training", {}).get("stage", "unspecified") == "unspecified"
    return total["outbox_pending"] == 0 and at_rest and (trained or total["vectors"] < TRAIN_THRESHOLD)


def figures(read):
    total, bench = read("stats")["total"], read("bench")
    begin, end = read("seconds")
    concepts = total["concepts"]
    return {
        "concepts": concepts,
        "associations": total["associations_out"],
        "associations_in": total["associations_in"],
        "learn_per_s": round(concepts / (end - begin), 1),
        "bytes_per_concept": round(total["disk_bytes"] / max(concepts, 1), 1),
        "memory_bytes": total["memory_bytes"],
        "search_p50_ms": bench["p50_ms"],
        "search_p99_ms": bench["p99_ms"],
        "search_per_s": round(bench["searches_per_s"], 1),
        "recall_at_10": round(bench["recall"], 4),
        "text_search_p50_ms": bench["text_p50_ms"],
        "text_search_p99_ms": bench["text_p99_ms"],
    }


def text(f):
    return f"""\
  {f['concepts']:,} concepts, {f['associations']:,} associations
  learned {f['learn_per_s']:,} concepts/s, embedding included
  disk    {f['bytes_per_concept']:,} bytes per concept
  memory  {f['memory_bytes'] / 2**20:,.0f} MiB in all shards
  search  p50 {f['search_p50_ms']:.2f} ms, p99 {f['search_p99_ms']:.2f} ms by vector, recall@10 {f['recall_at_10']:.3f}
          p50 {f['text_search_p50_ms']:.2f} ms, p99 {f['text_search_p99_ms']:.2f} ms by text, embedding included"""


def main():
    what, folder = sys.argv[1], pathlib.Path(sys.argv[2])

    def read(name):
        return json.loads((folder / name).read_text(encoding="utf-8"))

    if what == "settled":
        sys.exit(0 if settled(read) else 1)
    if what == "hit":
        print(read("hit")["hits"][0]["id"])
    elif what == "json":
        print(json.dumps(figures(read)))
    else:
        print(text(figures(read)))


if __name__ == "__main__":
    main()
