"""bench/run ingest: Import over gRPC into empty servers, and Chroma in a process of its own beside it."""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field

from bench.figures import rates
from bench.progress import Progress
from bench.report import RESULTS, Report
from bench.rpc.contender import Contender
from bench.rpc.processes import Processes, free_ports, load
from bench.rpc.wordnet import wordnet_requests

BATCH, IN_FLIGHT, CONCEPTS = 2048, 4, 117659
IMPORT = "/sutra.v1.ConceptService/Import"
WHAT = {"texts and vectors": ["--plain"], "with 3.2 associations each": []}


def _options():
    parser = argparse.ArgumentParser(prog="bench/run ingest")
    parser.add_argument("--quick", action="store_true", help="three rounds instead of five, Chroma with fewer concepts")
    return parser.parse_args()


def _peak_mib(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(re.search(r"VmHWM:\s+(\d+)", status).group(1)) / 1024


@dataclass
class Import:
    """All of WordNet by one stream into empty servers, which end afterwards."""

    built: str
    file: pathlib.Path
    routed: bool
    peaks: dict = field(default_factory=dict)  # of memory, by kind of server: the greatest

    def run(self):
        with Processes(self.built) as processes:
            port = free_ports(1)[0]
            servers = self._servers(processes, port)
            pids = sum(servers.values(), [])
            found = load(self.built, port, IMPORT, self.file, "--once", "--stream", "-n", IN_FLIGHT, pids=pids)
            for kind, those in servers.items():
                self.peaks[kind] = max(self.peaks.get(kind, 0), *map(_peak_mib, those))
        cpu = found["cpu_us"]
        return {"rate": CONCEPTS / found["seconds"], "client": found["calls"] * cpu["client"] / CONCEPTS,
                **{kind: sum(found["calls"] * cpu[str(pid)] for pid in those) / CONCEPTS for kind, those in servers.items()}}

    def _servers(self, processes, port):
        if not self.routed:
            return {"shard": [processes.shard("alone", port)]}
        router, shards = processes.cluster(port)
        return {"router": [router], "shards": shards}


@dataclass
class Case:
    name: str
    source: Import

    def __post_init__(self):
        self.contender = Contender(self.source.run)

    def report(self, report, chroma):
        rival = {"rival": "Chroma", "rival_value": chroma} if "vectors" in self.name else {}
        cpu = ", ".join(f"{kind} {self.contender.median(kind):.1f}" for kind in ("client", *self.source.peaks))
        memory = ", ".join(f"{kind} {peak:.0f}" for kind, peak in self.source.peaks.items())
        report.add(f"Import of WordNet, {self.name}", self.contender.per_second, "concepts/s", threads=2, data=f"WordNet, {CONCEPTS:,} concepts",
                   note=f"processor us per concept: {cpu}; greatest memory of one process, MiB: {memory}; rounds {self.contender.spread}", **rival)


def _chroma(requests, count):
    """Concepts a second of the process that adds the first @count through Chroma's own API."""
    command = [sys.executable, "-m", "bench.rivals.chroma", "ingest", requests, str(count)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["rate"]


def main():
    quick = _options().quick
    rounds, chroma_count = (3, 10000) if quick else (5, CONCEPTS)
    built = os.environ["SUTRA_BUILT"]
    report = Report()
    progress = Progress({"requests": 10, "imports": rounds * 4 * 4, "Chroma": chroma_count / 1000})
    progress.part("requests")
    with tempfile.TemporaryDirectory(prefix="sutra-bench-") as folder:
        cases = []
        for what, options in WHAT.items():
            progress.step(len(cases), 4, what)
            (place := pathlib.Path(folder) / f"{len(cases)}").mkdir()
            file, _ = wordnet_requests(built, place, *options, batch=BATCH)
            cases += [Case(f"{what}, {'router, four shards' if routed else 'one shard'}", Import(built, file, routed)) for routed in (True, False)]
        progress.part("imports")
        for i in range(rounds):
            for j, case in enumerate(cases):
                progress.step(i * len(cases) + j, rounds * len(cases), f"round {i + 1}, {case.name}")
                case.contender.rounds.append(case.contender.run())
        progress.part("Chroma")
        progress.step(0, 1, f"{chroma_count:,} concepts")
        chroma = _chroma(cases[0].source.file, chroma_count)
    progress.clear()
    for case in cases:
        case.report(report, chroma)
    path = RESULTS / f"ingest{'-quick' if quick else ''}.json"
    report.save(path)
    rates(report.rows, path.stem, "imports over gRPC into empty servers, synced")
    print(f"{report.table()}\n\n{path}")


main()
