"""Our own generator's figures beside those of ghz, which knows of the shard only what reflection tells it."""

import base64
import json
import resource
from dataclasses import dataclass

from bench.ghz.program import ghz
from bench.progress import Progress
from bench.report import RESULTS, Report
from bench.rpc import requests
from bench.rpc.contender import Contender
from bench.rpc.processes import Processes, cpu_seconds, free_ports, load
from bench.rpc.wordnet import wordnet_requests
from bench.vector.data import K, wordnet

SERVICE = "sutra.v1.ConceptService"
ROUNDS, ASKED, RECALL_TARGET = 5, 100, 0.95
CLOSE = 0.2  # figures that differ by less confirm each other


@dataclass
class Question:
    """The same requests for both: encoded, and as JSON."""

    method: str
    encoded: object
    data: object


class World:
    """A shard with all of WordNet and a codebook."""

    def __init__(self, processes, built, seconds):
        self.built, self.seconds, self.folder = built, seconds, processes.folder
        self.port = free_ports(1)[0]
        self.pid = processes.shard("alone", self.port)

    def fill(self):
        learn, ids = wordnet_requests(self.built, self.folder)
        load(self.built, self.port, f"/{SERVICE}/LearnBatch", learn, "--once", "-n", 4)
        load(self.built, self.port, "/sutra.v1.AdminService/TrainCodebook", requests.write(self.folder / "train", [b""]), "--once", "-n", 1)
        queries = wordnet(self.built).queries[:ASKED]
        step = len(ids) // ASKED
        self.questions = {
            "Get": self._question("Get", "Get", [(requests.field(requests.IDS, id), {"id": id.decode()}) for id in ids[::step]]),
            "Search": self._question("Search", "Search", [_search(query, requests.float32(7, RECALL_TARGET), {"recall_target": RECALL_TARGET})
                                                         for query in queries]),
            "exact Search": self._question("Search", "exact", [_search(query, requests.number(4, 1), {"exact": True}) for query in queries]),
        }

    def _question(self, verb, name, both):
        data = self.folder / f"{name}.json"
        data.write_text(json.dumps([as_json for _, as_json in both]), encoding="utf-8")
        return Question(verb, requests.write(self.folder / name, [encoded for encoded, _ in both]), data)

    def ours(self, question, case):
        way = ("-r", case.rate) if case.rate else ("-n", case.in_flight)
        return load(self.built, self.port, f"/{SERVICE}/{question.method}", question.encoded, *way, "-s", self.seconds, "-w", self.seconds / 4,
                    pids=(self.pid,))

    def ghz(self, question, case):
        """What bench/load would print, of ghz; its start is in its processor time."""
        options = ["--insecure", "--call", f"{SERVICE}.{question.method}", "--data-file", question.data, "--connections", 1,
                   "--concurrency", case.in_flight, *(("--rps", case.rate) if case.rate else ()),
                   "--duration", f"{self.seconds * 1000:.0f}ms", "--duration-stop", "ignore"]
        client, server = _children_seconds(), cpu_seconds(self.pid)
        found = ghz(self.port, *options)
        if set(found["statusCodeDistribution"]) != {"OK"}:
            raise SystemExit(f"bench: ghz got {found['statusCodeDistribution']}")
        latency = {each["percentage"]: each["latency"] / 1000 for each in found["latencyDistribution"]}
        per_call = 1e6 / found["count"]
        return {"rate": found["rps"], "p50_us": latency[50], "p99_us": latency[99],
                "cpu_us": {"client": (_children_seconds() - client) * per_call, str(self.pid): (cpu_seconds(self.pid) - server) * per_call}}


def _search(query, option, option_as_json):
    vector = base64.b64encode(query.astype("<f4").tobytes()).decode()
    return (requests.query(query) + requests.number(2, K) + option, {"query": {"embedding": {"f32le": vector}}, "k": K} | option_as_json)


def _children_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@dataclass
class Case:
    """One question in a closed loop, or with a rate at fixed times."""

    question: str
    in_flight: int
    rate: int = 0

    def __str__(self):
        return f"{self.question}, " + (f"{self.rate:,} a second at fixed times" if self.rate else f"{self.in_flight} in flight")


CASES = [Case("Get", 1), Case("Get", 8), Case("Get", 64), Case("Get", 8, rate=2000),
         Case("Search", 1), Case("Search", 8), Case("Search", 64), Case("Search", 8, rate=1000), Case("exact Search", 8)]


def _verdict(ours, theirs, ratio, pid):
    """Who could not do more: on the same cores the one that takes more processor time per call decides."""
    if abs(ratio - 1) <= CLOSE:
        return "confirmed"
    client, server = theirs.cpu("client"), theirs.cpu(pid)
    if client > server and client > ours.cpu("client"):
        return f"ghz is the bottleneck: of the processor time it takes {client / (client + server):.0%}, our client {ours.cpu('client') / (ours.cpu('client') + ours.cpu(pid)):.0%}"
    return "not confirmed"


def _side(contender, pid):
    return (f"p50 {contender.median('p50_us'):.0f}, p99 {contender.median('p99_us'):.0f} us, processor us per call: "
            f"client {contender.cpu('client'):.0f}, shard {contender.cpu(pid):.0f}, rounds {contender.spread}")


def _report(report, case, ours, theirs, pid):
    rest = {"rival": "ghz", "threads": 2, "data": "WordNet, 117,659 concepts"}
    key, unit = ("p50_us", "us") if case.rate else ("rate", "calls/s")
    row = report.add(f"{case}{', p50' if case.rate else ''}", ours.median(key), unit, rival_value=theirs.median(key), lower_is_better=bool(case.rate), **rest)
    row.note = f"{_verdict(ours, theirs, row.ratio, pid)}; ours: {_side(ours, pid)}; ghz: {_side(theirs, pid)}"
    report.add(f"{case}, processor time of the shard", ours.cpu(pid), "us per call", rival_value=theirs.cpu(pid), lower_is_better=True, **rest)


def main(built, quick):
    seconds = 1 if quick else 3
    report = Report()
    progress = Progress({"filling": 30, "calls": ROUNDS * len(CASES) * (2.25 * seconds + 0.5)})
    progress.part("filling")
    with Processes(built) as processes:
        progress.step(0, 1, "a shard, its codebook")
        world = World(processes, built, seconds)
        world.fill()
        pairs = [(case, Contender(lambda case=case: world.ours(world.questions[case.question], case)),
                  Contender(lambda case=case: world.ghz(world.questions[case.question], case))) for case in CASES]
        progress.part("calls")
        for i in range(ROUNDS):
            for j, (case, *both) in enumerate(pairs):
                progress.step(i * len(pairs) + j, ROUNDS * len(pairs), f"round {i + 1}, {case}")
                for contender in both:
                    contender.rounds.append(contender.run())
        for case, ours, theirs in pairs:
            _report(report, case, ours, theirs, world.pid)
    progress.clear()
    path = RESULTS / f"ghz-beside{'-quick' if quick else ''}.json"
    report.save(path)
    print(f"{report.table()}\n")
    for row in report.rows[1::2]:
        print(f"{row.name}: {row.note}")
    print(f"\n{path}")
    return 0
