"""Every verb that can be load-tested, at its fixed rate and stepping up until it can take no more, at a shard and at a router.

A configuration (bench/ghz/VERB.json) is ghz's own and works without this: `ghz --config bench/ghz/get.json 127.0.0.1:7400`, once the
files in .cache/bench/ghz are there. Calls leave at their times, whether earlier ones were answered or not, so that latencies tell what
a caller would wait. The fixed rate has to be answered without an error; then the rate doubles until errors come, answers fall behind,
or nearly all time is spent waiting.
"""

import pathlib
from collections import Counter
from dataclasses import dataclass

from bench.figures import PLACES
from bench.ghz import data, plots
from bench.ghz.configurations import configurations
from bench.ghz.program import ghz
from bench.progress import Progress
from bench.report import RESULTS, Report
from bench.rpc import requests
from bench.rpc.processes import Processes, free_ports, load
from bench.rpc.wordnet import wordnet_requests

CONFIGURATIONS = pathlib.Path("bench/ghz")
SERVICE = "sutra.v1.ConceptService"
BATCH = 256
QUICK_CONCEPTS = 20_000
BEHIND, SLACK = 0.9, 1  # of the offered rate, less one call a second: the first leaves late
WAITING, TOO_LONG_MS = 20, 100  # p99 beside that at the fixed rate, and at least


@dataclass
class Extent:
    """How much is measured."""

    concepts: int | None  # None: all of WordNet
    fixed_s: int
    step_s: int
    steps: int


FULL, QUICK = Extent(None, 3, 2, 8), Extent(QUICK_CONCEPTS, 1, 1, 1)


@dataclass
class Step:
    """One run of ghz. Latencies are of the calls that were answered OK; None where none was."""

    verb: str
    place: str
    offered_rate: float
    rate: float
    calls: int
    errors: dict  # by status
    p50_ms: float | None
    p99_ms: float | None
    p999_ms: float | None
    fixed: bool
    saturated: bool = False

    @property
    def error_share(self):
        return sum(self.errors.values()) / self.calls if self.calls else 1.0


def _percentile(latencies, share):
    return latencies[min(len(latencies) - 1, int(share * len(latencies)))] if latencies else None


def _measured(verb, place, rate, found, fixed):
    answered = sorted(each["latency"] / 1e6 for each in found["details"] or () if each["status"] == "OK")
    errors = Counter(found["statusCodeDistribution"])
    errors.pop("OK", None)
    return Step(verb, place, rate, found["rps"], found["count"], dict(errors), *(_percentile(answered, share) for share in (0.5, 0.99, 0.999)), fixed)


def _is_saturated(step, first):
    if step.errors or step.rate < BEHIND * step.offered_rate - SLACK or step.p99_ms is None:
        return True
    return first.p99_ms is not None and step.p99_ms > max(WAITING * first.p99_ms, TOO_LONG_MS)


def _climb(verb, place, port, rate, extent, tell):
    """Steps, the first of them at the fixed rate."""
    steps = []
    for i in range(extent.steps + 1):
        tell(f"{verb}, {rate:,} a second")
        found = ghz(port, "--config", CONFIGURATIONS / f"{verb}.json", "--rps", rate, "--duration", f"{extent.step_s if i else extent.fixed_s}s")
        steps.append(_measured(verb, place, rate, found, fixed=i == 0))
        steps[-1].saturated = _is_saturated(steps[-1], steps[0])
        if steps[-1].saturated:
            break
        rate *= 2
    return steps


def _fill(built, folder, port, extent):
    learn, ids = wordnet_requests(built, folder, batch=BATCH)
    if extent.concepts is not None:
        learn, ids = data.first(learn, extent.concepts, BATCH, folder / "some"), ids[: extent.concepts // BATCH * BATCH]
    load(built, port, f"/{SERVICE}/LearnBatch", learn, "--once", "-n", 4)
    load(built, port, "/sutra.v1.AdminService/TrainCodebook", requests.write(folder / "train", [b""]), "--once", "-n", 1)
    data.write(built, ids)


def _start(processes, place, port):
    if place == PLACES[0]:
        processes.shard("alone", port)
    else:
        processes.cluster(port)


def _measure(built, place, extent, progress):
    """Every verb at one place."""
    steps = []
    verbs = configurations()
    progress.part(place)
    with Processes(built) as processes:
        progress.step(0, len(verbs) + 1, "filling")
        port = free_ports(1)[0]
        _start(processes, place, port)
        _fill(built, processes.folder, port, extent)
        for i, (verb, configuration) in enumerate(verbs.items()):
            steps += _climb(verb, place, port, configuration["rps"], extent, lambda text, i=i: progress.step(i + 1, len(verbs) + 1, text))
    return steps


def _ms(value):
    return "-" if value is None else f"{value:,.1f}"


def _print(steps):
    print(f"{'verb':14}{'place':22}{'offered':>9}{'answered':>10}{'p50 ms':>9}{'p99 ms':>9}{'p99.9 ms':>10}  errors")
    for step in steps:
        errors = ", ".join(f"{count:,} {status}" for status, count in step.errors.items()) or "-"
        print(f"{step.verb:14}{step.place:22}{step.offered_rate:9,}{step.rate:10,.0f}{_ms(step.p50_ms):>9}{_ms(step.p99_ms):>9}{_ms(step.p999_ms):>10}  "
              f"{errors}{', saturated' if step.saturated else ''}")


def main(built, quick):
    extent = QUICK if quick else FULL
    progress = Progress({place: 1 for place in PLACES})
    report = Report()
    for place in PLACES:
        report.rows += _measure(built, place, extent, progress)
    progress.clear()
    name = f"ghz{'-quick' if quick else ''}"
    report.save(RESULTS / f"{name}.json")
    steps = report.rows[1:]
    plots.page(steps, name)
    print(report.rows[0].data)
    _print(steps)
    print(f"\n{RESULTS / name}.json, {RESULTS / name}.svg")
    wrong = [step for step in steps if step.fixed and step.errors]
    for step in wrong:
        print(f"bench: {step.verb} at the {step.place}, {step.offered_rate:,} a second: {step.errors}")
    return 1 if wrong else 0
