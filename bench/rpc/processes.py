"""Real processes to measure: servers in a folder of their own, and what calls them."""

import csv
import io
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time


SHARDS = 4  # of a cluster


def free_ports(n):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Processes:
    """Started servers; they and their folder end with the `with` block."""

    def __init__(self, built):
        self.built = built

    def __enter__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sutra-bench-"))
        self._started = []
        return self

    def __exit__(self, *_):
        for process in self._started:
            process.send_signal(signal.SIGTERM)
        for process in self._started:
            process.wait(30)
        shutil.rmtree(self.folder)

    def _start(self, name, command, ready, executable=None):
        log = open(self.folder / f"{name}.log", "w+", encoding="utf-8")
        process = subprocess.Popen(command, executable=executable, stdout=log, stderr=log, cwd=self.folder)
        self._started.append(process)
        until = time.monotonic() + 60
        while ready not in (text := pathlib.Path(log.name).read_text(encoding="utf-8")):
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"bench: {name} did not start:\n{text}")
            time.sleep(0.005)
        return process.pid

    def end(self, pid, how=signal.SIGTERM):
        """Ends one of them, and returns when it is gone."""
        process = next(each for each in self._started if each.pid == pid)
        self._started.remove(process)
        process.send_signal(how)
        process.wait(60)

    def shard(self, name, port, *options):
        """It trains when it is told to, so that no training falls into what is measured."""
        command = [f"{self.built}/shard/sutra-shard", "--data", name, "--listen", f"127.0.0.1:{port}", "--train-threshold", "0", *options]
        return self._start(name, command, "ready on")

    def cluster(self, port):
        """A router and SHARDS shards: the router, and a list of the shards."""
        ports = free_ports(SHARDS)
        addresses = ",".join(f"127.0.0.1:{each}" for each in ports)
        shards = [self.shard(f"shard-{i}", each, "--shards", addresses, "--shard", str(i)) for i, each in enumerate(ports)]
        command = [f"{self.built}/router/sutra-router", "--shards", addresses, "--listen", f"127.0.0.1:{port}"]
        return self._start("router", command, "ready on"), shards

    def redis(self, port):
        """In memory only. Debian's redis-tools has the server under another name, and starts none by itself."""
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        return self._start("redis", command, "Ready to accept connections", executable=shutil.which("redis-check-rdb"))


def load(built, port, method, requests, *options, pids=()):
    """What bench/load found."""
    command = [f"{built}/bench/load", *map(str, options), *(word for pid in pids for word in ("-p", str(pid))), f"127.0.0.1:{port}",
               method, str(requests)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def redis_load(port, command, in_flight, calls, keys):
    """The same of redis-benchmark; in @command __rand_int__ is a number below @keys."""
    arguments = ["redis-benchmark", "-p", str(port), "-c", str(in_flight), "-n", str(calls), "-r", str(keys), "--csv", *command]
    lines = subprocess.run(arguments, check=True, capture_output=True, text=True).stdout
    row = list(csv.DictReader(io.StringIO(lines)))[-1]
    return {"rate": float(row["rps"]), "p50_us": 1000 * float(row["p50_latency_ms"]), "p99_us": 1000 * float(row["p99_latency_ms"])}


def redis_fill(port, keys, size):
    """@keys values of @size bytes under the names that redis_load()'s key:__rand_int__ has."""
    value = b"x" * size
    commands = b"".join(b"*3\r\n$3\r\nSET\r\n$16\r\nkey:%012d\r\n$%d\r\n%s\r\n" % (i, size, value) for i in range(keys))
    subprocess.run(["redis-cli", "-p", str(port), "--pipe"], input=commands, check=True, capture_output=True)
