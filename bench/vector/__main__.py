"""bench/run vector: see there."""

import argparse
import os

import faiss

from bench.progress import Progress
from bench.report import RESULTS, Report
from bench.vector import distances, filters, kernels, ours, plots, quality, search, updates
from bench.vector.world import PLAN, QUICK_PLAN, World

SECTIONS = {"kernels": kernels, "quality": quality, "search": search, "updates": updates, "distances": distances, "filters": filters}


def _options():
    parser = argparse.ArgumentParser(prog="bench/run vector")
    parser.add_argument("--quick", action="store_true", help="smaller data, a few minutes")
    parser.add_argument("--only", action="append", choices=SECTIONS, metavar="SECTION", help=", ".join(SECTIONS))
    return parser.parse_args()


def _draw(section, found, report, world, suffix):
    if section == "kernels":
        plots.scan_and_memory(report.rows, f"vector{suffix}-scan")
    elif section == "quality":
        plots.bytes_and_recall(found, str(world.wordnet), f"vector{suffix}-bytes")
    elif section == "search":
        plots.recall_and_rate(found, f"vector{suffix}-search")


def main():
    options = _options()
    chosen = options.only or list(SECTIONS)
    suffix = ("-quick" if options.quick else "") + ("-only-" + "-".join(chosen) if options.only else "")
    plan = QUICK_PLAN if options.quick else PLAN
    progress = Progress({name: plan[name] for name in ("data", *chosen)})
    report = Report()
    world = World(os.environ["SUTRA_BUILT"], options.quick, report, progress)
    ours.load(os.environ["SUTRA_BUILT"])
    faiss.omp_set_num_threads(1)
    progress.part("data")
    progress.step(0, 1, "vectors and their true neighbours")
    print(f"{world.wordnet}; {world.synthetic}", flush=True)
    for name in chosen:
        progress.part(name)
        found = SECTIONS[name].run(world)
        _draw(name, found, report, world, suffix)
        report.save(RESULTS / f"vector{suffix}.json")
    progress.clear()
    print(report.table())
    print(f"\nbench/results/vector{suffix}.json")


main()
