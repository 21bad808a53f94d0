"""bench/run ghz: every verb under load by ghz; with --beside our own generator's figures beside ghz's."""

import argparse
import os
import sys

from bench.ghz import beside, verbs


def _options():
    parser = argparse.ArgumentParser(prog="bench/run ghz")
    parser.add_argument("--quick", action="store_true", help="shorter rounds")
    parser.add_argument("--beside", action="store_true", help="our own load generator against ghz, instead of a load test of every verb")
    return parser.parse_args()


def main():
    options = _options()
    return (beside if options.beside else verbs).main(os.environ["SUTRA_BUILT"], options.quick)


sys.exit(main())
