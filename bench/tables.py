"""bench/run tables: writes the tables of README.md and bench/results/README.md from the rows in bench/results, between two marks; --check
only compares."""

import json
import pathlib
import sys
from dataclasses import dataclass

RESULTS = pathlib.Path("bench/results")
BEGIN, END = "<!-- written by bench/run tables -->\n", "<!-- until here -->\n"

WORDNET, SYNTHETIC = "WordNet", "synthetic"
SEARCHES = [(data, target) for data in (WORDNET, SYNTHETIC) for target in (0.95, 0.98, 0.99)]
UNITS = {"queries/s": "/s", "vectors/s": "/s", "texts/s": "/s", "M/s": " M/s", "M codes/s": " M codes/s", "GB/s": " GB/s", "recall": "",
         "processor s": " s", "bytes/vector": " bytes per vector", "1": ""}


@dataclass(frozen=True)
class Line:
    """A row of results as a line of the second table."""

    text: str
    name: str
    rival: str | None = None  # how its name begins
    data: str = ""  # how it begins
    threads: int | None = None  # any


LINES = [
    Line("scan kernel over 100,000 codes, for 64 queries at once, each", "scan kernel, 64 queries, 100,000 codes", "Faiss PQ48x8"),
    Line("… for one query", "scan kernel, one query, 100,000 codes", "Faiss PQ48x8"),
    Line("search by 48-byte codes alone, 100,000, in batches of 64", "search by code, 100,000, batches of 64", "Faiss PQ48x8"),
    Line("… in batches of 64", "search by code, 100,000, batches of 64", "Faiss PQ96x4fs"),
    Line("… one at a time", "search by code, 100,000, one at a time", "Faiss PQ48x8"),
    Line("… one at a time", "search by code, 100,000, one at a time", "Faiss PQ96x4fs"),
    Line("… with the AVX2 kernel, one at a time", "search by code with the AVX2 kernel, 100,000", "Faiss PQ48x8"),
    Line("search by codes alone, 1,000,000, in batches of 32", "search by code, 1,000,000, batches of 32", "ours, one at a time"),
    Line("… in batches of 64", "search by code, 1,000,000, batches of 64", "Faiss PQ96x4fs"),
    Line("… one at a time", "search by code, 1,000,000, one at a time", "Faiss PQ96x4fs"),
    Line("codes read by that, one at a time", "search by code, 1,000,000, share of a plain read", "plain read"),
    Line("recall@10 by code alone, WordNet", "recall@10 by code alone", "Faiss OPQ48_384,PQ48x8"),
    Line("… int8 rows of the best 100", "recall@10, int8 rows of the best 100"),
    Line("… float16 rows of the best 100", "recall@10, float16 rows of the best 100"),
    Line("training, encoding and filling, 1,000,000, processor seconds", "build", "hnswlib", SYNTHETIC),
    Line("memory without refinement rows, 1,000,000", "memory without refinement rows", None, SYNTHETIC),
    Line("… WordNet, 116,659", "memory without refinement rows", None, WORDNET),
    Line("encode float vectors, int8 rows made on the way", "encode, from float rows", "Faiss PQ48x8"),
    Line("… from int8 rows", "encode, from int8 rows", "Faiss PQ48x8"),
    Line("insert one at a time, with code, cell and row", "insert, one at a time"),
    Line("searches while another thread inserts at full speed", "search while a thread inserts at full speed", "ours, alone"),
    Line("distances of random stored pairs, 1,000,000", "random stored pairs, by row"),
    Line("… of one concept to 500,000 random ones, by row", "one concept and many random ones, by row"),
    Line("… by code", "one concept and many random ones, by code"),
    Line("look-ups of random ids", "lookups of random ids"),
    Line("scan through a filter of 1 %, at random", "scan with a filter, 1% of all, at random", "ours, without filter"),
    Line("… in runs", "scan with a filter, 1% of all, in runs of 4,096", "ours, without filter"),
    *(line for threads in (1, 2) for line in (
        Line(f"embed WordNet texts, float32, threads: {threads}", "embed float32, batches", "ONNX Runtime float32", threads=threads),
        Line("… bfloat16", "embed bfloat16, batches", "ONNX Runtime int8", threads=threads))),
]


READS = {  # of rpc.json
    "BatchGet of 1,000 hot concepts": "BatchGet of 1,000 hot concepts",
    "BatchGet of 1,000 hot concepts in columns": "… in columns",
    "BatchGet of 100 hot concepts": "… of 100",
    "BatchGet of 1,000 at random": "… of 1,000 out of all at random",
    "Get, 64 in flight": "Get, 64 in flight",
    "Get, one in flight": "Get, one in flight",
    "Distance of 1,000 pairs, exact": "Distance of 1,000 stored pairs, exact",
    "Distance of 1,000 pairs, approximate": "… from codes",
}
WRITES = {  # of ingest.json
    "texts and vectors": "Import, texts and vectors",
    "with 3.2 associations each": "… with 3.2 associations each",
}
STARTS = {  # of restart.json
    "after an orderly stop": "an orderly stop",
    "after kill -9 at rest": "kill -9",
    "after kill -9 while writing": "kill -9 while writing at full speed",
}
WHERE = ("one shard", "router, four shards")
SERVED = {  # of search.json
    "Search, 16 in flight": "Search, 16 in flight",
    "BatchSearch of 100": "BatchSearch of 100",
}


def _rows():
    return [row for name in ("vector", "embed", "rpc", "ingest", "search", "restart") for row in json.loads((RESULTS / f"{name}.json").read_text())]


def _find(rows, name, rival=None, data="", threads=None):
    found = [row for row in rows if row["name"] == name and row["data"].startswith(data)
             and (rival is None or (row["rival"] or "").startswith(rival)) and threads in (None, row["threads"])]
    if not found:
        sys.exit(f"bench: no row '{name}' against {rival or 'nobody'} in bench/results: run bench/run vector, embed, rpc, ingest, search and restart")
    return found


def _number(value, unit):
    if unit == "recall":
        return f"{value:.4f}" if value > 0.999 else f"{value:.3f}"
    return f"{value:,.0f}{UNITS[unit]}" if value >= 50 else f"{value:.1f}{UNITS[unit]}"


def _ratio(value):
    return f"{value:.2f}" if value < 20 else f"{value:.0f}"


def _searches(rows):
    yield "| search, k = 10, one query at a time, one thread | recall@10 | Sutra | hnswlib, M = 16 | ratio | best of Faiss with refinement | ratio |"
    yield "|---|---|---|---|---|---|---|"
    for data, target in SEARCHES:
        found = _find(rows, f"search at recall >= {target}", data=data)
        graph = next(row for row in found if row["rival"] == "hnswlib")
        faiss = max((row for row in found if "+Refine" in (row["rival"] or "")), key=lambda row: row["rival_value"])
        yield (f"| {graph['data'].removesuffix(' x 384')} | {graph['recall']:.3f} | {graph['value']:,.0f}/s | {graph['rival_value']:,.0f}/s | "
               f"{_ratio(graph['ratio'])} | {faiss['rival_value']:,.0f}/s | {_ratio(faiss['ratio'])} |")


def _line(rows, line):
    row = _find(rows, line.name, line.rival, line.data, line.threads)[0]
    mine = _number(row["value"], row["unit"])
    if line.rival is None:
        return f"| {line.text} | {mine} | - | - |"
    return f"| {line.text} | {mine} | {row['rival']}: {_number(row['rival_value'], row['unit'])} | {_ratio(row['ratio'])} |"


def _compared(rows, names, row_name, head):
    """A line for each of @names: what its rows say of both places, and of the rival."""
    yield head
    yield "|---|---|---|---|"
    for name, text in names.items():
        alone, routed = (_find(rows, row_name(name, where))[0] for where in WHERE)
        rival = f"{alone['rival'].removeprefix('Redis ')}: {alone['rival_value']:,.0f}/s" if alone["rival"] else "-"
        yield f"| {text} | {alone['value']:,.0f}/s | {routed['value']:,.0f}/s | {rival} |"


def _reads(rows):
    return _compared(rows, READS, lambda name, where: f"{name}, {where}",
                     "| over gRPC, client and servers on the same two cores | one shard | router and four shards | Redis 7, in memory only |")


def _writes(rows):
    return _compared(rows, WRITES, lambda name, where: f"Import of WordNet, {name}, {where}",
                     "| imported over gRPC, synced, empty servers | one shard | router and four shards | in its caller's process |")


def _served(rows):
    yield "| search over gRPC, WordNet, k = 10 | recall@10 | one shard | router and four shards |"
    yield "|---|---|---|---|"
    begin = f"{next(iter(SERVED))}, recall_target "
    targets = [row["name"].removeprefix(begin).split(",")[0] for row in rows if row["name"].startswith(begin)]
    for target in dict.fromkeys(targets):
        for name, text in SERVED.items():
            alone, routed = (_find(rows, f"{name}, recall_target {target}, {where}")[0] for where in WHERE)
            yield f"| {text} | {alone['recall']:.3f} | {alone['value']:,.0f}/s | {routed['value']:,.0f}/s |"
        half = [[_find(rows, f"Search at half that rate, recall_target {target}, {where}, {key}")[0] for key in ("p50", "p99")] for where in WHERE]
        cells = [f"p50 {p50['value'] / 1000:.1f}, p99 {p99['value'] / 1000:.1f} ms" for p50, p99 in half]
        yield f"| … Search at half that rate | {half[0][0]['recall']:.3f} | {cells[0]} | {cells[1]} |"


def _starts(rows):
    yield "| a shard of a million concepts: from its start to its first answer, after | Get | Search |"
    yield "|---|---|---|"
    for name, text in STARTS.items():
        get, search = (_find(rows, f"first {verb} {name}, with a codebook")[0] for verb in ("Get", "Search"))
        yield f"| {text} | {get['value']:.2f} s | {search['value']:.2f} s |"


def _tables():
    rows = _rows()
    lines = list(_searches(rows)) + ["", "| one thread unless stated | Sutra | rival | ratio |", "|---|---|---|---|"]
    machines = [row["data"] for row in _find(rows, "machine")]
    return "\n".join([*lines, *(_line(rows, line) for line in LINES), "", *_reads(rows), "", *_writes(rows), "", *_served(rows), "", *_starts(rows)]) + "\n\n" + "".join(f"{machine}\\\n" for machine in machines)[:-2] + "\n"


def _glance(rows):
    """What a reader wants to know first."""
    def ours(name, **which):
        return _find(rows, name, **which)[0]

    def against(row, unit="/s"):
        return f"{row['rival']}: {row['rival_value']:,.0f}{unit}" if row["rival"] else "-"

    graph = next(row for row in _find(rows, "search at recall >= 0.95", data=SYNTHETIC) if row["rival"] == "hnswlib")
    get, batch = ours("Get, 64 in flight, one shard"), ours("BatchGet of 1,000 hot concepts, one shard")
    imported = ours("Import of WordNet, texts and vectors, router, four shards")
    searched = ours("Search, 16 in flight, recall_target 0.98, router, four shards")
    embedded = ours("embed float32, batches", rival="ONNX Runtime float32", threads=2)
    memory = ours("memory without refinement rows", data=SYNTHETIC)
    started = ours("first Search after kill -9 at rest, with a codebook")
    yield "| two cores, shared with the client | Sutra | beside it |"
    yield "|---|---|---|"
    yield f"| concepts read in batches of 1,000, one shard | {batch['value']:,.0f}/s | {against(batch)} |"
    yield f"| concepts read one by one, 64 in flight, one shard | {get['value']:,.0f}/s | {against(get)} |"
    yield f"| imported, synced, through a router into four shards | {imported['value']:,.0f}/s | {against(imported)}, in its caller's process |"
    yield f"| searches through a router over four shards, WordNet, recall@10 {searched['recall']:.2f} | {searched['value']:,.0f}/s | {against(searched)} |"
    yield f"| the vector engine alone, a million vectors, one thread, recall@10 {graph['recall']:.2f} | {graph['value']:,.0f}/s | {against(graph)} |"
    yield f"| texts embedded, MiniLM in float32 | {embedded['value']:,.0f}/s | {against(embedded)} |"
    yield f"| memory per vector in the scan, 384 dimensions | {memory['value']:,.0f} bytes | float32: 1,536 bytes |"
    yield f"| first search of a million concepts after kill -9 | {started['value']:.2f} s | - |"


def _marked(page, table):
    """The page's text, with @table between its marks."""
    head, rest = page.read_text().split(BEGIN)
    return head + BEGIN + table + END + rest.split(END)[1]


def main():
    pages = {pathlib.Path("README.md"): "\n".join(_glance(_rows())) + "\n", RESULTS / "README.md": _tables()}
    made = {page: _marked(page, table) for page, table in pages.items()}
    if sys.argv[1:] == ["--check"]:
        stale = [str(page) for page, text in made.items() if page.read_text() != text]
        sys.exit(f"bench: the tables of {', '.join(stale)} are not those of bench/results: bench/run tables" if stale else 0)
    for page, text in made.items():
        page.write_text(text)


main()
