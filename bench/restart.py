"""bench/run restart: how soon a shard of a million concepts answers again, and an import that is killed and resumed."""

import argparse
import json
import os
import pathlib
import re
import signal
import statistics
import subprocess
import time
from dataclasses import dataclass

import numpy as np

from bench.progress import Progress
from bench.report import RESULTS, Report
from bench.rpc import requests
from bench.rpc.processes import Processes, cpu_seconds, free_ports, load
from bench.vector.data import CACHE, K, synthetic

SERVICE = "/sutra.v1.ConceptService"
ROUNDS = 5
WRITTEN, WRITING_SECONDS = 50_000, 2  # again and again, before a kill in the middle of it
LIMIT_SECONDS = 300


def _options():
    parser = argparse.ArgumentParser(prog="bench/run restart")
    parser.add_argument("--quick", action="store_true", help="100,000 concepts, about a minute")
    return parser.parse_args()


DECIMALS = 10000  # of a number in the file


def _concept(number, row):
    """As it stands in the file."""
    text, vector = b"synthetic concept number %d" % number, np.rint(row * DECIMALS) / DECIMALS
    return requests.field(1, b"c%d" % number) + requests.field(2, text) + requests.field(3, requests.field(2, vector.astype("<f4").tobytes()))


def _items(path, rows):
    """The rows as `sutra import` reads them; kept."""
    if path.exists():
        return path
    print(f"bench: making {path}", flush=True)
    words = [f"{i / DECIMALS:.4f}" for i in range(-DECIMALS, DECIMALS + 1)]
    temporary = path.with_suffix(".tmp")
    with open(temporary, "w", encoding="utf-8") as file:
        for begin in range(0, len(rows), 10000):
            numbers = np.rint(rows[begin : begin + 10000] * DECIMALS).astype(int) + DECIMALS
            for i, row in enumerate(numbers.tolist(), begin):
                values = ",".join(map(words.__getitem__, row))
                file.write(f'{{"id":"c{i}","content":"synthetic concept number {i}","embedding":[{values}]}}\n')
    return temporary.rename(path)


@dataclass
class Start:
    """One start of the shard: seconds from its beginning, and what it had taken by the first found."""

    get: float
    search: float
    cpu: float
    memory: float  # MiB


class World:
    """One shard that comes and goes."""

    def __init__(self, processes, built, count):
        self.processes, self.built, self.folder = processes, built, processes.folder
        self.data = synthetic(built, count)
        self.items = _items(CACHE / f"synthetic-{count}.jsonl", self.data.rows)
        self.port = free_ports(1)[0]
        self.get = requests.singles(self.folder / "get", [b"c%d" % (count // 2)])
        self.search = requests.write(self.folder / "search", [requests.query(self.data.queries[0]) + requests.number(2, K)])
        some = min(WRITTEN, count)
        self.learn = requests.write(self.folder / "learn", (
            b"".join(requests.field(1, _concept(i, self.data.rows[i])) for i in range(begin, min(begin + 256, some)))
            for begin in range(0, some, 256)))

    def start(self):
        self.pid = self.processes.shard("shard", self.port)

    def end(self, how):
        self.processes.end(self.pid, how)

    def kill_while_writing(self):
        command = [f"{self.built}/bench/load", "-n", "4", "-s", str(LIMIT_SECONDS), f"127.0.0.1:{self.port}", f"{SERVICE}/LearnBatch", self.learn]
        writer = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(WRITING_SECONDS)
        self.end(signal.SIGKILL)
        writer.wait()

    def ask(self, verb, file):
        replies = self.folder / "replies"
        load(self.built, self.port, f"{SERVICE}/{verb}", file, "--once", "-n", 1, "--replies", replies)
        return replies.read_bytes()

    def first_answers(self, expected):
        """Starts the shard and asks at once; a wrong answer would be no answer."""
        began = time.monotonic()
        self.start()
        self.ask("Get", self.get)
        get = time.monotonic() - began
        if self.ask("Search", self.search) != expected:
            raise SystemExit("bench: the search after the start does not find what the one before found")
        return Start(get, time.monotonic() - began, cpu_seconds(self.pid), self.memory())

    def memory(self):
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8")
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) / 1024

    def train(self):
        subprocess.run([f"{self.built}/src/apps/cli/sutra", "--address", f"127.0.0.1:{self.port}", "train"], check=True, capture_output=True)


class Import:
    """`sutra import`, whose note of what is settled tells how far it is."""

    def __init__(self, world, *options):
        self.state = world.folder / "state"
        self.before = self.settled()
        self.began = time.monotonic()
        command = [f"{world.built}/src/apps/cli/sutra", "--address", f"127.0.0.1:{world.port}", "import", world.items, "--state", self.state, "--json"]
        self.process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def settled(self):
        return json.loads(self.state.read_text(encoding="utf-8"))["settled_items"] if self.state.exists() else 0

    def wait_for(self, settled):
        """Seconds from its start until so many items were settled."""
        while self.settled() < settled:
            if self.process.poll() is not None or time.monotonic() - self.began > LIMIT_SECONDS:
                raise SystemExit("bench: the import does not go on")
            time.sleep(0.01)
        return time.monotonic() - self.began

    def kill(self):
        self.process.kill()
        self.process.wait()

    def finish(self):
        return json.loads(self.process.communicate(timeout=LIMIT_SECONDS)[0])


def _import(world, report, progress):
    """Kills the importer at half, and the shard at three quarters."""
    count = len(world.data.rows)
    progress.step(0, 4, "the first half")
    first = Import(world)
    seconds = first.wait_for(count // 2)
    first.kill()
    progress.step(2, 4, "resumed")
    second = Import(world, "--resume")
    resumed = second.wait_for(second.before + 1)
    second.wait_for(count * 3 // 4)
    progress.step(3, 4, "resumed, the shard killed")
    world.end(signal.SIGKILL)
    world.start()
    found = second.finish()
    rest = {"threads": 2, "data": str(world.data)}
    report.add("import, killed at half and resumed: items sent", second.before + found["items"] + found["updated"], "items", **rest,
               note=f"{found['updated']} of them twice; resumed at {found['resumed_at']:,}; the shard killed in the second half: "
                    f"{found['reconnects']} reconnects; in the end {found['settled_items']:,} settled, {found['refused']} refused")
    report.add("import, first half", second.before / seconds, "items/s", note="JSON Lines, vectors included, parsed by one thread", **rest)
    report.add("import, resumed: until the next item was settled", resumed, "s", note=f"{second.before:,} lines passed over", **rest)


def _stop(world):
    world.end(signal.SIGTERM)


def _kill(world):
    time.sleep(3)  # so that it has come to rest
    world.end(signal.SIGKILL)


ENDS = {"an orderly stop": _stop, "kill -9 at rest": _kill, "kill -9 while writing": World.kill_while_writing}


def _restarts(world, what, report, progress):
    expected = world.ask("Search", world.search)
    for i, (how, end) in enumerate(ENDS.items()):
        starts = []
        for j in range(ROUNDS):
            progress.step(i * ROUNDS + j, ROUNDS * len(ENDS), f"{what}, {how}")
            end(world)
            starts.append(world.first_answers(expected))
        _add_starts(report, f"{how}, {what}", starts, str(world.data))


def _add_starts(report, name, starts, data):
    cpu, memory = (statistics.median(getattr(each, key) for each in starts) for key in ("cpu", "memory"))
    for key, verb in (("get", "Get"), ("search", "Search")):
        seconds = [getattr(each, key) for each in starts]
        report.add(f"first {verb} after {name}", statistics.median(seconds), "s", threads=2, data=data,
                   note=f"from exec, the client's start included; of {ROUNDS} starts {min(seconds):.2f} to {max(seconds):.2f}; by then "
                        f"{cpu:.2f} s of processor time, {memory:,.0f} MiB; files in the page cache")


def main():
    count = 100_000 if _options().quick else 1_000_000
    built = os.environ["SUTRA_BUILT"]
    report = Report()
    with Processes(built) as processes:
        world = World(processes, built, count)
        progress = Progress({"import": count / 8000, "without a codebook": 45, "training": count / 14000, "with a codebook": 45})
        progress.part("import")
        world.start()
        _import(world, report, progress)
        progress.part("without a codebook")
        _restarts(world, "without a codebook", report, progress)
        progress.part("training")
        progress.step(0, 1, "a codebook")
        world.train()
        progress.part("with a codebook")
        _restarts(world, "with a codebook", report, progress)
    progress.clear()
    path = RESULTS / f"restart{'-quick' if count < 1_000_000 else ''}.json"
    report.save(path)
    print(f"{report.table()}\n\n{path}")


main()
