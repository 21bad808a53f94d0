"""bench/run embed: the encoder against ONNX Runtime (bench/rivals/embed.py), in the form of all results."""

import argparse
import os

from bench.report import RESULTS, Report

os.environ["EMBED_BENCH"] = f"{os.environ['SUTRA_BUILT']}/bench/embed_bench"
from bench.rivals import embed


def main():
    parser = argparse.ArgumentParser(prog="bench/run embed")
    parser.add_argument("--quick", action="store_true", help="fewer texts and rounds")
    quick = parser.parse_args().quick
    report = Report()

    def add(name, value, unit, rival=None, rival_value=None, recall=None, threads=1, data=""):
        row = report.add(name, value, unit, lower_is_better=unit == "ms", rival=rival, rival_value=rival_value, recall=recall,
                         threads=threads, data=data)
        print(f"bench: {row.name}: {row.value:.5g} {row.unit}, {threads} threads", flush=True)

    embed.run(quick, add)
    path = RESULTS / f"embed{'-quick' if quick else ''}.json"
    report.save(path)
    print(f"{report.table()}\n\n{path}")


main()
