"""Reads at a steady rate through the service config that is shipped, each through the Service and past it; what failed."""

import itertools
import pathlib
import sys
import threading
import time

import grpc
import grpc_tools
from grpc_tools import protoc

ROOT = pathlib.Path(__file__).resolve().parents[3]
CONCEPTS = 60


def generate(folder):
    """Stubs, importable afterwards."""
    files = [str(path.relative_to(ROOT / "proto")) for path in (ROOT / "proto/sutra/v1").glob("*.proto")]
    well_known = pathlib.Path(grpc_tools.__file__).parent / "_proto"
    status = protoc.main(["", f"-I{ROOT / 'proto'}", f"-I{well_known}", f"--python_out={folder}", *files])
    assert status == 0, "protoc failed"
    sys.path.insert(0, str(folder))


class Access:
    """How the cluster is reached."""

    def __init__(self, environment):
        self._ca = environment.get("SUTRA_TLS_CA")
        token = environment.get("SUTRA_TOKEN")
        self.metadata = (("authorization", f"Bearer {token}"),) if token else ()

    def channel(self, target):
        # Names are looked up again after a second, and not after half a minute, so that the routers need not wait for that one
        # after the other.
        options = [("grpc.service_config", (ROOT / "deploy/service-config.json").read_text(encoding="utf-8")),
                   ("grpc.dns_min_time_between_resolutions_ms", 1000)]
        if not self._ca:
            return grpc.insecure_channel(target, options=options)
        credentials = grpc.ssl_channel_credentials(pathlib.Path(self._ca).read_bytes())
        return grpc.secure_channel(target, credentials, options=options)


class Load:
    """A thread per target, so many calls a second each. Calls overlap: a slow one keeps none from being made."""

    def __init__(self, access, targets, per_second):
        from sutra.v1 import concept_service_pb2 as messages

        self._messages, self._access, self._interval = messages, access, 1 / per_second
        self._stop = threading.Event()
        self._lock = threading.Condition()
        self.done, self.open, self.failures, self.slowest_s = 0, 0, [], 0.0
        self._channels = {target: access.channel(target) for target in targets}
        self._fill()
        self._threads = [threading.Thread(target=self._run, args=item, daemon=True) for item in self._channels.items()]

    def _call(self, channel, method, request, answer):
        return channel.unary_unary(f"/sutra.v1.ConceptService/{method}", request_serializer=lambda m: m.SerializeToString(),
                                   response_deserializer=answer.FromString)

    def _fill(self):
        from sutra.v1 import types_pb2

        m, channel = self._messages, next(iter(self._channels.values()))
        items = [types_pb2.ConceptInput(id=f"load-{i}", content=f"sentence number {i} of the load") for i in range(CONCEPTS)]
        request = m.LearnBatchRequest(items=items)
        answer = self._call(channel, "LearnBatch", request, m.LearnBatchResponse)(request, timeout=60, metadata=self._access.metadata)
        assert len(answer.results) == CONCEPTS, answer

    def _reads(self):
        """A verb after the other: by id on one shard, on all of them, by text through the embedder."""
        m = self._messages
        for i in itertools.count():
            one = f"load-{i % CONCEPTS}"
            yield "Get", m.GetRequest(id=one), m.GetResponse
            yield "BatchGet", m.BatchGetRequest(ids=[f"load-{j % CONCEPTS}" for j in range(i, i + 12)]), m.BatchGetResponse
            query = m.Query(text=f"number {i % CONCEPTS}") if i % 2 else m.Query(concept_id=one)
            yield "Search", m.SearchRequest(query=query, k=3), m.SearchResponse

    def _run(self, target, channel):
        due = time.monotonic()
        for method, request, answer in self._reads():
            due += self._interval
            if self._stop.wait(max(0, due - time.monotonic())):
                return
            with self._lock:
                self.open += 1
            call = self._call(channel, method, request, answer).future(request, timeout=30, metadata=self._access.metadata)
            began = time.monotonic()
            call.add_done_callback(lambda c, method=method, began=began: self._finished(target, method, began, c))

    def _finished(self, target, method, began, call):
        with self._lock:
            self.open -= 1
            self.done += 1
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)
            if call.code() != grpc.StatusCode.OK:
                self.failures.append(f"{method} at {target}: {call.code().name} {call.details()}")
            self._lock.notify_all()

    def start(self):
        for thread in self._threads:
            thread.start()

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join()
        with self._lock:
            assert self._lock.wait_for(lambda: self.open == 0, timeout=60), f"{self.open} calls do not end"
        for channel in self._channels.values():
            channel.close()
