"""deploy/kubernetes/measure-size."""

import array
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import grpc

from rendered import load

ROOT = pathlib.Path(__file__).resolve().parents[3]
PARTS, BATCH, DIMENSION = 4, 1000, 384
CALM_SECONDS, PATIENCE_SECONDS = 10, 180
NUMBERS = [(i - 127.5) / 128 for i in range(256)]
TEXT = "sentence number {} of a shard that is measured, about as long as a definition is"


def start(folder):
    command = [ROOT / "bazel-bin/shard/sutra-shard", "--data", folder / "data", "--listen", f"unix:{folder}/socket", "--model", "/none"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert "ready on" in process.stdout.readline()
    return process


def learn(channel, first, count):
    from sutra.v1 import concept_service_pb2 as messages
    from sutra.v1 import types_pb2 as types

    call = channel.unary_unary("/sutra.v1.ConceptService/LearnBatch", request_serializer=lambda m: m.SerializeToString(),
                               response_deserializer=messages.LearnBatchResponse.FromString)
    for begin in range(first, first + count, BATCH):
        items = [types.ConceptInput(id=f"c{i}", content=TEXT.format(i), embedding=types.Embedding(f32le=vector())) for i in range(begin, begin + BATCH)]
        for result in call(messages.LearnBatchRequest(items=items), timeout=60).results:
            assert result.version == 1, result


def vector():
    return array.array("f", map(NUMBERS.__getitem__, os.urandom(DIMENSION))).tobytes()


def memory(process):
    text = pathlib.Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    return {name: int(re.search(rf"{name}:\s+(\d+)", text)[1]) * 1024 for name in ("VmHWM", "RssAnon")}


def disk(folder):
    return int(subprocess.run(["du", "--summarize", "--block-size=1", folder / "data"], capture_output=True, text=True, check=True).stdout.split()[0])


def settle(process):
    """Until it does next to nothing: trainings and compactions are over."""
    calm, last, end = 0, None, time.monotonic() + PATIENCE_SECONDS
    while calm < CALM_SECONDS and time.monotonic() < end:
        time.sleep(1)
        fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
        used = int(fields[11]) + int(fields[12])
        calm, last = (calm + 1 if last is not None and used - last < 5 else 0), used


def main():
    count = int(sys.argv[1]) // PARTS // BATCH * BATCH
    rows = []
    with tempfile.TemporaryDirectory(prefix="sutra-size-") as name:
        folder = pathlib.Path(name)
        stubs = folder / "stubs"
        stubs.mkdir()
        load.generate(stubs)
        process = start(folder)
        try:
            with grpc.insecure_channel(f"unix:{folder}/socket") as channel:
                for part in range(PARTS):
                    learn(channel, part * count, count)
                    settle(process)
                    rows.append(((part + 1) * count, memory(process), disk(folder)))
                    concepts, used, bytes_ = rows[-1]
                    print(f"{concepts} concepts: peak {used['VmHWM'] >> 20} MiB, own {used['RssAnon'] >> 20} MiB, disk {bytes_ >> 20} MiB", flush=True)
        finally:
            process.terminate()
            process.wait()
    (n0, m0, d0), (n1, m1, d1) = rows[0], rows[-1]
    print(f"per concept: peak {(m1['VmHWM'] - m0['VmHWM']) / (n1 - n0):.0f} bytes, disk {(d1 - d0) / (n1 - n0):.0f} bytes")


if __name__ == "__main__":
    main()
