"""bench/run search: searches over gRPC, through a router over four shards and in one shard, with their recall; and Chroma."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass

import numpy as np

from bench.figures import PLACES, rates
from bench.progress import Progress
from bench.report import RESULTS, Report
from bench.rpc import requests
from bench.rpc.contender import Contender
from bench.rpc.processes import Processes, free_ports, load
from bench.rpc.wordnet import wordnet_requests
from bench.vector.data import K, QUERIES, wordnet

BATCH, TARGETS = 100, (0.96, 0.98)  # of 0.95, 0.949 comes out
IN_FLIGHT, BATCHES_IN_FLIGHT = 16, 4
SERVICE = "/sutra.v1.ConceptService"


def _options():
    parser = argparse.ArgumentParser(prog="bench/run search")
    parser.add_argument("--quick", action="store_true", help="shorter rounds")
    return parser.parse_args()


class World:
    """The servers, with all of WordNet but the synsets that are the queries, and a codebook."""

    def __init__(self, processes, built, seconds):
        self.built, self.seconds, self.folder, self.data = built, seconds, processes.folder, wordnet(built)
        self.ports = dict(zip(PLACES, free_ports(len(PLACES))))
        alone, routed = PLACES
        router, shards = processes.cluster(self.ports[routed])
        self.pids = {alone: [processes.shard("alone", self.ports[alone])], routed: [router, *shards]}

    def fill(self):
        delete, train = (self.folder / name for name in ("delete", "train"))
        learn, ids = wordnet_requests(self.built, self.folder)
        ids = np.array(ids)
        held_out = np.sort(np.random.default_rng(1).choice(len(ids), QUERIES, replace=False))  # as wordnet() does
        self.row_of = {bytes(id): row for row, id in enumerate(np.delete(ids, held_out))}
        requests.singles(delete, [bytes(id) for id in ids[held_out]])
        requests.write(train, [b""])
        for port in self.ports.values():
            for method, file, in_flight in ((f"{SERVICE}/LearnBatch", learn, 4), (f"{SERVICE}/Delete", delete, 16),
                                            ("/sutra.v1.AdminService/TrainCodebook", train, 1)):
                load(self.built, port, method, file, "--once", "-n", in_flight)

    def requests(self, target):
        """Files of single searches and of batches for a recall target."""
        queries = [requests.query(query) for query in self.data.queries]
        rest = requests.number(2, K)
        batches = [b"".join(queries[i : i + BATCH]) + rest + requests.float32(7, target) for i in range(0, QUERIES, BATCH)]
        return (requests.write(self.folder / f"search-{target}", [query + rest + requests.float32(7, target) for query in queries]),
                requests.write(self.folder / f"batch-{target}", batches))

    def recall(self, where, file):
        replies = self.folder / "replies"
        load(self.built, self.ports[where], f"{SERVICE}/Search", file, "--once", "-n", 1, "--replies", replies)
        found = np.full((QUERIES, K), -1)
        for q, reply in enumerate(requests.read(replies)):
            hits = [bytes(dict(requests.fields(hit))[1]) for number, hit in requests.fields(reply) if number == 1]
            found[q, : len(hits)] = [self.row_of[id] for id in hits]
        return self.data.recall(found)

    def load(self, where, verb, file, *options):
        return load(self.built, self.ports[where], f"{SERVICE}/{verb}", file, *options, "-s", self.seconds, "-w", self.seconds / 4,
                    pids=self.pids[where])


@dataclass
class Case:
    """A recall target and a place to ask."""

    world: World
    target: float
    where: str

    def __post_init__(self):
        self.single, self.batch = self.world.requests(self.target)
        self.recall = self.world.recall(self.where, self.single)
        self.searches = Contender(lambda: self.world.load(self.where, "Search", self.single, "-n", IN_FLIGHT))
        self.batches = Contender(lambda: self.world.load(self.where, "BatchSearch", self.batch, "-n", BATCHES_IN_FLIGHT), BATCH)

    def report(self, report, chroma):
        rest = {"recall": self.recall, "threads": 2, "data": str(self.world.data)}
        name = f"recall_target {self.target}, {self.where}"
        rival = f"Chroma in its caller's process, recall {chroma['recall']:.3f}"
        report.add(f"Search, {IN_FLIGHT} in flight, {name}", self.searches.per_second, "queries/s", note=self._note(self.searches),
                   rival=f"{rival}, one at a time", rival_value=chroma["rate"], **rest)
        report.add(f"BatchSearch of {BATCH}, {name}", self.batches.per_second, "queries/s", note=self._note(self.batches),
                   rival=f"{rival}, batches of {BATCH}", rival_value=chroma["batch_rate"], **rest)
        half = self.searches.per_second / 2
        latencies = self.world.load(self.where, "Search", self.single, "-r", half)
        for key in ("p50", "p99"):
            report.add(f"Search at half that rate, {name}, {key}", latencies[f"{key}_us"], "us", note=f"{half:.0f} calls/s at fixed times", **rest)

    def _note(self, contender):
        servers = sum(contender.cpu(pid) for pid in self.world.pids[self.where])
        return (f"p50 {contender.median('p50_us'):.0f}, p99 {contender.median('p99_us'):.0f} us; processor us per call: "
                f"client {contender.cpu('client'):.0f}, servers {servers:.0f}; rounds {contender.spread}")


def _chroma(data):
    """The same queries and rows, through its own API."""
    with tempfile.TemporaryDirectory(prefix="sutra-bench-") as folder:
        path = f"{folder}/data.npz"
        np.savez(path, base=data.rows, queries=data.queries)
        command = [sys.executable, "-m", "bench.rivals.chroma", "search", path]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found | {"recall": data.recall(np.array(found["answers"]))}


def _measure(world, report, progress, rounds, chroma):
    """Every case, round by round; then latency at half of the rate that was reached."""
    cases = [Case(world, target, where) for target in TARGETS for where in world.ports]
    steps = (rounds + 1) * len(cases)
    for i in range(rounds):
        for j, case in enumerate(cases):
            progress.step(i * len(cases) + j, steps, f"round {i + 1}, recall {case.target}, {case.where}")
            case.searches.rounds.append(case.searches.run())
            case.batches.rounds.append(case.batches.run())
    for j, case in enumerate(cases):
        progress.step(rounds * len(cases) + j, steps, f"half load, recall {case.target}, {case.where}")
        case.report(report, chroma)


def main():
    rounds, seconds = (5, 0.5) if _options().quick else (5, 2)
    built = os.environ["SUTRA_BUILT"]
    report = Report()
    progress = Progress({"filling": 40, "Chroma": 90, "searches": (rounds * 2 + 1) * 4 * 1.4 * seconds})
    progress.part("filling")
    with Processes(built) as processes:
        progress.step(0, 1, "one shard, four shards, their codebooks")
        world = World(processes, built, seconds)
        world.fill()
        progress.part("Chroma")
        progress.step(0, 1, str(world.data))
        chroma = _chroma(world.data)
        progress.part("searches")
        _measure(world, report, progress, rounds, chroma)
    progress.clear()
    path = RESULTS / f"search{'-quick' if seconds < 1 else ''}.json"
    report.save(path)
    rates(report.rows, path.stem, "searches over gRPC, WordNet, k = 10")
    print(f"{report.table()}\n\n{path}")


main()
