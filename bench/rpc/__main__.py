"""bench/run rpc: see there."""

import argparse
import os
import pathlib
import random
import re
import subprocess

from bench.figures import PLACES, rates
from bench.progress import Progress
from bench.report import RESULTS, Report
from bench.rpc import requests
from bench.rpc.contender import Contender
from bench.rpc.processes import Processes, free_ports, load, redis_fill, redis_load
from bench.rpc.wordnet import wordnet_requests

HOT, DATA = 1000, "WordNet, 117,659 concepts"
SERVICE = "/sutra.v1.ConceptService"


def _options():
    parser = argparse.ArgumentParser(prog="bench/run rpc")
    parser.add_argument("--quick", action="store_true", help="shorter rounds, about two minutes")
    return parser.parse_args()


class World:
    """A shard alone, a router over four shards, and Redis, all with WordNet; and the requests for them."""

    def __init__(self, processes, built, seconds):
        self.built, self.seconds, self.folder = built, seconds, processes.folder
        self.port, self.router_port, self.redis_port = free_ports(3)
        self.shard = processes.shard("alone", self.port)
        self.router, self.shards = processes.cluster(self.router_port)
        self.redis = processes.redis(self.redis_port)

    def fill(self):
        learn, self.ids = wordnet_requests(self.built, self.folder)
        for port in (self.port, self.router_port):
            load(self.built, port, f"{SERVICE}/LearnBatch", learn, "--once", "-n", 4)
        hot = random.Random(1).sample(self.ids, HOT)
        self.requests = {
            "1000": requests.batches(self.folder / "hot-1000", hot, 1000, 20),
            "columns": requests.batches(self.folder / "hot-columns", hot, 1000, 20, columns=True),
            "100": requests.batches(self.folder / "hot-100", hot, 100, 200),
            "random": requests.batches(self.folder / "random", self.ids, 1000, 1000),
            "get": requests.singles(self.folder / "get", hot),
            "empty": requests.write(self.folder / "empty", [b""]),
            "exact": requests.pairs(self.folder / "exact", self.ids, 1000, 300, False),
            "approximate": requests.pairs(self.folder / "approximate", self.ids, 1000, 300, True),
        }
        for port in (self.port, self.router_port):
            load(self.built, port, "/sutra.v1.AdminService/TrainCodebook", self.requests["empty"], "--once", "-n", 1)
        size = load(self.built, self.port, f"{SERVICE}/BatchGet", self.requests["1000"], "-n", 1, "-s", 0.2)["reply_bytes"] / 1000
        redis_fill(self.redis_port, len(self.ids), round(size))

    def ask(self, port, method, name, in_flight, per_call=1):
        pids = (self.shard,) if port == self.port else (self.router, *self.shards)
        return Contender(lambda: load(self.built, port, method, self.requests[name], "-n", in_flight, "-s", self.seconds, "-w",
                                      self.seconds / 4, pids=pids), per_call)

    def ask_redis(self, keys, in_flight, per_call):
        command = ["MGET", *["key:__rand_int__"] * per_call] if per_call > 1 else ["GET", "key:__rand_int__"]
        guess = {1: 120000, 100: 12000, 1000: 1500}[per_call] / (10 if in_flight == 1 else 1)
        return Contender(lambda: redis_load(self.redis_port, command, in_flight, round(guess * self.seconds), keys), per_call)

    def contenders(self):
        get, batch, distance, check = *(f"{SERVICE}/{verb}" for verb in ("Get", "BatchGet", "Distance")), "/grpc.health.v1.Health/Check"
        found = {}
        for where, port in zip(PLACES, (self.port, self.router_port)):
            found |= {
                f"BatchGet of 1,000 hot concepts, {where}": self.ask(port, batch, "1000", 4, 1000),
                f"BatchGet of 1,000 hot concepts in columns, {where}": self.ask(port, batch, "columns", 4, 1000),
                f"BatchGet of 100 hot concepts, {where}": self.ask(port, batch, "100", 8, 100),
                f"BatchGet of 1,000 at random, {where}": self.ask(port, batch, "random", 4, 1000),
                f"Distance of 1,000 pairs, exact, {where}": self.ask(port, distance, "exact", 4, 1000),
                f"Distance of 1,000 pairs, approximate, {where}": self.ask(port, distance, "approximate", 4, 1000),
                f"Get, 64 in flight, {where}": self.ask(port, get, "get", 64),
                f"Get, one in flight, {where}": self.ask(port, get, "get", 1),
            }
        return found | {
            "empty": self.ask(self.port, check, "empty", 1),
            "MGET 1000 hot": self.ask_redis(HOT, 4, 1000),
            "MGET 100 hot": self.ask_redis(HOT, 8, 100),
            "MGET 1000": self.ask_redis(len(self.ids), 4, 1000),
            "GET 64": self.ask_redis(HOT, 64, 1),
            "GET 1": self.ask_redis(HOT, 1, 1),
        }


RIVALS = {"BatchGet of 1,000 hot concepts,": "MGET 1000 hot", "BatchGet of 100 hot": "MGET 100 hot", "BatchGet of 1,000 at": "MGET 1000",
          "Get, 64": "GET 64", "Get, one": "GET 1"}


def _rival(name, found):
    return next((found[rival] for begin, rival in RIVALS.items() if name.startswith(begin)), None)


def _note(contender, world, routed):
    cpu = f"client {contender.cpu('client'):.1f}, " + (
        f"router {contender.cpu(world.router):.1f}, shards {sum(contender.cpu(pid) for pid in world.shards):.1f}" if routed
        else f"shard {contender.cpu(world.shard):.1f}")
    return (f"p50 {contender.median('p50_us'):.0f}, p99 {contender.median('p99_us'):.0f} us; processor us per call: {cpu}; "
            f"rounds {contender.spread}")


def _rates(report, found, world):
    for name, contender in found.items():
        if "shard" not in name:
            continue
        rival = _rival(name, found)
        beside = {} if rival is None else {"rival": f"Redis {'MGET' if rival.per_call > 1 else 'GET'}", "rival_value": rival.per_second}
        report.add(name, contender.per_second, "pairs/s" if name.startswith("Distance") else "concepts/s", **beside, threads=2, data=DATA,
                   note=_note(contender, world, "router" in name))


def _latencies(report, found, world):
    one, empty = found["Get, one in flight, one shard"], found["empty"]
    routed = found["Get, one in flight, router, four shards"]
    redis = found["GET 1"]
    report.add("Get, one in flight, one shard, p50", one.median("p50_us"), "us", rival="empty call, same server",
               rival_value=empty.median("p50_us"), lower_is_better=True, threads=2, data=DATA)
    report.add("Get, one in flight, one shard, p99", one.median("p99_us"), "us", rival="Redis GET", rival_value=redis.median("p99_us"),
               lower_is_better=True, threads=2, data=DATA)
    for key, name in (("p50_us", "p50"), ("p99_us", "p99")):
        report.add(f"Get, one in flight, added by the router, {name}", routed.median(key) - one.median(key), "us", threads=2, data=DATA)
    report.add("Get, 64 in flight, one shard, processor time of the shard", found["Get, 64 in flight, one shard"].cpu(world.shard),
               "us per call", threads=2, data=DATA)


def _in_process(built, report):
    """The same look-ups without gRPC, by one thread."""
    text = subprocess.run([f"{built}/bench/store_bench"], check=True, capture_output=True, text=True).stdout
    for name, pattern in (("look-ups of 1,000 hot concepts in process", r"get, 1000 hot ones at a time +(\d+)"),
                          ("look-ups of 1,000 at random in process", r"get, 1000 at a time +(\d+)")):
        report.add(name, float(re.search(pattern, text).group(1)), "concepts/s", data=DATA)


def _memory(report, world):
    status = pathlib.Path(f"/proc/{world.shard}/status").read_text(encoding="utf-8")
    report.add("memory of one shard with all of it", int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) / 1024, "MiB", threads=2, data=DATA)


def main():
    quick = _options().quick
    rounds, seconds = (5, 0.5) if quick else (7, 2)
    built = os.environ["SUTRA_BUILT"]
    report = Report()
    progress = Progress({"filling": 40, "calls": rounds * 22 * (1.25 * seconds + 0.2), "in process": 20})
    progress.part("filling")
    with Processes(built) as processes:
        progress.step(0, 1, "one shard, four shards, Redis")
        world = World(processes, built, seconds)
        world.fill()
        found = world.contenders()
        progress.part("calls")
        for i in range(rounds):
            for j, (name, contender) in enumerate(found.items()):
                progress.step(i * len(found) + j, rounds * len(found), f"round {i + 1}, {name}")
                contender.rounds.append(contender.run())
        _rates(report, found, world)
        _latencies(report, found, world)
        _memory(report, world)
    progress.part("in process")
    progress.step(0, 1, "look-ups")
    _in_process(built, report)
    progress.clear()
    path = RESULTS / f"rpc{'-quick' if quick else ''}.json"
    report.save(path)
    rates(report.rows, path.stem, f"reads over gRPC, {DATA}")
    print(f"{report.table()}\n\n{path}")


main()
