"""Walks deploy/clients/scenario.json, whose path is the argument, with nothing but the generated stubs; deploy/clients/README.md says how it is read."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any, Callable, Iterator

import grpc
from google.protobuf import json_format, message_factory, descriptor_pool
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from sutra.v1 import admin_service_pb2, concept_service_pb2, embedding_service_pb2  # noqa: F401  (they fill the pool)

DEADLINE_MS = 30_000
RETRY_SECONDS = 0.05
CHANNEL_OPTIONS = [("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20)]


class Mismatch(Exception):
    """What was expected is not what came."""


# Expectations -------------------------------------------------------------------------------------------------------


def number(value: Any) -> float | None:
    """JSON has 64-bit integers as strings."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return float(value)
    if isinstance(value, str) and re.fullmatch(r"-?\d+", value):
        return float(value)
    return None


def require(holds: bool, where: str, expected: Any, actual: Any) -> None:
    if not holds:
        raise Mismatch(f"{where or 'answer'}: expected {shorten(expected)}, got {shorten(actual)}")


def shorten(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else text[:200] + "…"


def match_near(expected: dict[str, Any], actual: Any, where: str) -> None:
    value = number(0 if actual is None else actual)
    require(value is not None and abs(value - expected["$near"]) <= expected["$within"], where, expected, actual)


def match_unordered(expected: dict[str, Any], actual: Any, where: str) -> None:
    rest = list(actual or [])
    require(len(rest) == len(expected["$unordered"]), where, expected, actual)
    for wanted in expected["$unordered"]:
        found = next((one for one in rest if matches(wanted, one)), None)
        require(found is not None, where, wanted, rest)
        rest.remove(found)


OPERATORS: dict[str, Callable[[dict[str, Any], Any, str], None]] = {
    "$near": match_near,
    "$above": lambda e, a, w: require((number(a) or 0) > e["$above"], w, e, a),
    "$contains": lambda e, a, w: require(isinstance(a, str) and e["$contains"] in a, w, e, a),
    "$unordered": match_unordered,
}


def matches(expected: Any, actual: Any) -> bool:
    try:
        match(expected, actual)
    except Mismatch:
        return False
    return True


def match(expected: Any, actual: Any, where: str = "") -> None:
    if isinstance(expected, dict):
        match_object(expected, actual, where)
    elif isinstance(expected, list):
        rows = [] if actual is None else actual
        require(isinstance(rows, list) and len(rows) == len(expected), where, expected, actual)
        for i, (one, row) in enumerate(zip(expected, rows)):
            match(one, row, f"{where}[{i}]")
    elif number(expected) is not None and not isinstance(expected, str):
        value = number(0 if actual is None else actual)
        require(value is not None and abs(value - expected) <= 1e-6 * max(1, abs(expected)), where, expected, actual)
    else:
        require((actual or None) == (expected or None), where, expected, actual)


def match_object(expected: dict[str, Any], actual: Any, where: str) -> None:
    operator = next((key for key in expected if key in OPERATORS), None)
    if operator is not None:
        OPERATORS[operator](expected, actual, where)
        return
    require(actual is None or isinstance(actual, dict), where, expected, actual)
    for key, value in expected.items():
        match(value, (actual or {}).get(key), f"{where}.{key}" if where else key)


# What stands for something else -------------------------------------------------------------------------------------


def expand(value: Any, saved: dict[str, Any]) -> Any:
    if isinstance(value, list):
        return [expand(one, saved) for one in value]
    if not isinstance(value, dict):
        return value
    if "$saved" in value:
        return saved[value["$saved"]]
    if "$repeat" in value:
        text, count = value["$repeat"]
        return text * count
    if "$times" in value:
        one, count = value["$times"]
        return [expand(one, saved)] * count
    return {key: expand(one, saved) for key, one in value.items()}


def look_up(value: Any, path: str) -> Any:
    for part in path.split("."):
        value = value[int(part)] if isinstance(value, list) else value[part]
    return value


# Calls --------------------------------------------------------------------------------------------------------------


def error_of(error: grpc.RpcError) -> dict[str, Any]:
    """As the scenario expects it: code, message, and what is in the details."""
    told: dict[str, Any] = {"code": error.code().name, "message": error.details()}
    raw = next((one.value for one in error.trailing_metadata() or () if one.key == "grpc-status-details-bin"), None)
    for detail in status_pb2.Status.FromString(raw).details if raw else ():
        bad_request, info = error_details_pb2.BadRequest(), error_details_pb2.ErrorInfo()
        if detail.Unpack(bad_request) or detail.Unpack(info):
            told.update(json_format.MessageToDict(bad_request))
            told.update(json_format.MessageToDict(info))
    return told


def joined(answers: list[dict[str, Any]]) -> dict[str, Any]:
    whole: dict[str, Any] = {}
    for answer in answers:
        for key, value in answer.items():
            whole[key] = whole.get(key, []) + value if isinstance(value, list) else value
    return whole


def without_first(requests: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    kept = []
    for request in requests:
        items = request["items"]
        if count < len(items):
            kept.append({**request, "items": items[count:]})
        count = max(0, count - len(items))
    return kept


class Connections:
    """One channel for each way to connect."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.address = environment["SUTRA_ADDRESS"]
        self.ca = environment.get("SUTRA_TLS_CA", "")
        self.tokens = environment.get("SUTRA_TOKEN_FOLDER", "")
        self.open: dict[str, grpc.Channel] = {}

    def has(self, need: str | None) -> bool:
        return {None: True, "tls": bool(self.ca), "tokens": bool(self.tokens)}[need]

    def channel(self, kind: str) -> grpc.Channel:
        if kind not in self.open:
            self.open[kind] = self._connect(kind)
        return self.open[kind]

    def _connect(self, kind: str) -> grpc.Channel:
        if not self.ca or kind == "plaintext":
            return grpc.insecure_channel(self.address, CHANNEL_OPTIONS)
        roots = Path(self.ca).read_bytes() if kind == "trusting" else None
        return grpc.secure_channel(self.address, grpc.ssl_channel_credentials(roots), CHANNEL_OPTIONS)

    def metadata(self, who: str) -> list[tuple[str, str]]:
        if not self.tokens or who == "nobody":
            return []
        token = "no-such-token" if who == "stranger" else (Path(self.tokens) / who).read_text().strip()
        return [("authorization", f"Bearer {token}")]


class Scenario:
    def __init__(self, connections: Connections) -> None:
        self.connections = connections
        self.saved: dict[str, Any] = {}

    def run(self, step: dict[str, Any]) -> None:
        until = time.monotonic() + step.get("within_ms", 0) / 1000
        while True:
            try:
                return self._try(step)
            except Mismatch:
                if time.monotonic() >= until:
                    raise
                time.sleep(RETRY_SECONDS)

    def _try(self, step: dict[str, Any]) -> None:
        method = descriptor_pool.Default().FindMethodByName(step["method"].replace("/", "."))  # type: ignore[no-untyped-call]
        answer, error = CALLS[method.client_streaming, method.server_streaming](self, method, step)
        match(expand(step.get("error", None), self.saved), error, "error")
        if error is None or method.client_streaming:
            match(expand(step.get("expect", {}), self.saved), answer)
            self.saved.update({name: look_up(answer, path) for name, path in step.get("save", {}).items()})

    def _invoke(self, method: Any, step: dict[str, Any], argument: Any) -> Any:
        channel = self.connections.channel(step.get("channel", "trusting"))
        kind = ("stream" if method.client_streaming else "unary") + "_" + ("stream" if method.server_streaming else "unary")
        multi = getattr(channel, kind)(
            f"/{step['method']}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=message_factory.GetMessageClass(method.output_type).FromString,
        )
        start = multi.future if kind == "unary_unary" else multi
        return start(
            argument,
            timeout=step.get("deadline_ms", DEADLINE_MS) / 1000,
            metadata=self.connections.metadata(step.get("as", "writer")),
        )

    def _message(self, method: Any, request: dict[str, Any]) -> Message:
        message = message_factory.GetMessageClass(method.input_type)()
        return json_format.ParseDict(expand(request, self.saved), message)

    def _unary(self, method: Any, step: dict[str, Any]) -> tuple[Any, Any]:
        answer: Any = None
        for request in step.get("requests", [step.get("request")]):
            call = self._invoke(method, step, self._message(method, request))
            try:
                if "cancel_after_ms" in step:
                    time.sleep(step["cancel_after_ms"] / 1000)
                    call.cancel()
                answer = json_format.MessageToDict(call.result())
            except grpc.FutureCancelledError:
                return None, {"code": "CANCELLED"}
            except grpc.RpcError as error:
                return None, error_of(error)
        return answer, None

    def _server_stream(self, method: Any, step: dict[str, Any]) -> tuple[Any, Any]:
        try:
            answers = self._invoke(method, step, self._message(method, step["request"]))
            return joined([json_format.MessageToDict(answer) for answer in answers]), None
        except grpc.RpcError as error:
            return None, error_of(error)

    def _import(self, method: Any, step: dict[str, Any]) -> tuple[Any, Any]:
        requests = without_first(step["requests"], int(expand(step.get("skip_items", 0), self.saved)))
        stop_after = step.get("cancel_after")
        answers: list[dict[str, Any]] = []
        call = self._invoke(method, step, self._requests(method, requests, stop_after))
        try:
            for answer in call:
                answers.append(json_format.MessageToDict(answer))
                if len(answers) == stop_after:
                    call.cancel()
        except grpc.RpcError as error:
            return answers, error_of(error)
        return answers, None

    def _requests(self, method: Any, requests: list[dict[str, Any]], stop_after: int | None) -> Iterator[Message]:
        for request in requests[:stop_after]:
            yield self._message(method, request)
        if stop_after is not None:
            time.sleep(DEADLINE_MS / 1000)  # never half-closed: the client cancels before


CALLS = {(False, False): Scenario._unary, (False, True): Scenario._server_stream, (True, True): Scenario._import}


def main() -> int:
    connections = Connections(dict(os.environ))
    scenario = Scenario(connections)
    passed, failed, left_out = 0, 0, 0
    for step in json.loads(Path(sys.argv[1]).read_text())["steps"]:
        if not connections.has(step.get("needs")):
            left_out += 1
            print(f"left out  {step['name']} (needs {step['needs']})")
            continue
        try:
            scenario.run(step)
            passed += 1
            print(f"ok        {step['name']}")
        except Mismatch as mismatch:
            failed += 1
            print(f"FAILED    {step['name']}: {mismatch}")
    print(f"python: {passed} passed, {failed} failed, {left_out} left out")
    return 0 if failed == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
