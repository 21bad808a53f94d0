"""ghz itself, which learns the methods by reflection."""

import json
import subprocess

GHZ = ".cache/bin/ghz"


def ghz(port, *options):
    """Its report, as it writes it."""
    command = [GHZ, *map(str, options), "--format", "json", f"127.0.0.1:{port}"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
