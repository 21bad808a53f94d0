#!/usr/bin/env python3
"""Counts the tests of one `bazel test` by its build event file: what Criterion counted, cached results included.

    summary.py EVENTS.json

Prints one line per suite that failed and a last line "PASSED FAILED". A suite that is no Criterion suite counts as one
test; so does a suite that could not be built, and one that passed without running anything is a failure.
"""

import json
import pathlib
import re
import sys
import urllib.parse

SYNTHESIS = re.compile(r"Synthesis: Tested: (\d+) \| Passing: (\d+) \| Failing: (\d+)")


def count_log(log, ok):
    """(passed, failed, remark) of one suite's log."""
    totals = [tuple(map(int, found)) for found in SYNTHESIS.findall(log)]
    if not totals:
        return (1, 0, "") if ok else (0, 1, "failed")
    tested, passed, failed = (sum(column) for column in zip(*totals))
    if tested == 0:
        return 0, 1, "ran no test"
    if not ok and failed == 0:
        return passed, 1, "failed outside its tests (leak, crash at exit or time-out)"
    return passed, failed, f"{failed} of {tested} failed" if failed else ""


def read_log(result):
    uris = [out.get("uri", "") for out in result.get("testActionOutput", []) if out["name"] == "test.log"]
    if not uris:
        return ""
    path = pathlib.Path(urllib.parse.unquote(urllib.parse.urlparse(uris[0]).path))
    return path.read_text(errors="replace") if path.exists() else ""


def suites(events):
    """label -> (passed, failed, remark)"""
    found = {}
    for event in events:
        name = event.get("id", {})
        if "testResult" in name:
            result = event["testResult"]
            ok = result.get("status") in ("PASSED", "FLAKY")
            found[name["testResult"]["label"]] = count_log(read_log(result), ok)
        elif "targetCompleted" in name and not event.get("completed", {}).get("success"):
            found.setdefault(name["targetCompleted"]["label"], (0, 1, "could not be built"))
    return found


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        found = suites(json.loads(line) for line in file if line.strip())
    for label, (_, failed, remark) in sorted(found.items()):
        if failed:
            print(f"{label}: {remark}")
    print(sum(s[0] for s in found.values()), sum(s[1] for s in found.values()))


if __name__ == "__main__":
    main()
