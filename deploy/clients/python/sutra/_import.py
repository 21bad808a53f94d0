"""What is on its way in an import, and what has to be sent again after a stream broke."""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Iterable, Sized
from pathlib import Path

import grpc

from . import _convert as convert
from ._errors import SutraError
from ._types import Imported, ItemLike, Refused, Written
from .v1 import concept_service_pb2 as pb

#: Requests that may wait for their answer: more than the server reads ahead, few enough to be kept for a resumption.
WINDOW = 8
#: How often in a row a stream may break without an item settled in between, and the pauses before the next.
ATTEMPTS = 6
_FIRST_PAUSE_S = 0.1
_REQUEST_BYTES = 16 << 20
_REFUSED_KEPT = 100
#: A stream that ends so may be opened again. CANCELLED is what a server that shuts down says.
_BROKEN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


class State:
    """The number of items that are settled, in a file that outlives the process. None: no file."""

    def __init__(self, path: str | os.PathLike[str] | None) -> None:
        self._path = Path(path) if path is not None else None

    def load(self) -> int:
        if self._path is None or not self._path.exists():
            return 0
        try:
            return int(json.loads(self._path.read_text())["settled_items"])
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"{self._path} is no state of an import") from None

    def save(self, settled: int) -> None:
        if self._path is None:
            return
        fresh = self._path.with_name(self._path.name + ".new")
        fresh.write_text(json.dumps({"settled_items": settled}))
        fresh.replace(self._path)

    def done(self) -> None:
        if self._path is not None:
            self._path.unlink(missing_ok=True)


class Plan:
    """Items become requests; requests are kept until their answer settles them. Belongs to one thread at a time."""

    def __init__(self, batch: int, embed: bool, state: State) -> None:
        self.outcome = Imported(skipped=state.load())
        self._batch, self._embed, self._state = batch, embed, state
        self._filling = self._empty()
        self._filling_bytes = 0
        self._in_flight: deque[pb.ImportRequest] = deque()
        self._unsent: deque[pb.ImportRequest] = deque()
        self._failures = 0

    def _empty(self) -> pb.ImportRequest:
        return pb.ImportRequest(skip_embedding=not self._embed)

    def add(self, item: ItemLike) -> bool:
        """Whether there is a request to send now."""
        message = convert.to_input(convert.as_item(item))
        self._filling.items.append(message)
        self._filling_bytes += message.ByteSize()
        if len(self._filling.items) < self._batch and self._filling_bytes < _REQUEST_BYTES:
            return False
        self.flush()
        return True

    def flush(self) -> None:
        """The items that are left become a request."""
        if self._filling.items:
            self._in_flight.append(self._filling)
            self._unsent.append(self._filling)
            self._filling, self._filling_bytes = self._empty(), 0

    def take(self) -> pb.ImportRequest | None:
        """The next request for this stream, if there is one."""
        return self._unsent.popleft() if self._unsent else None

    def begin_stream(self) -> None:
        """A new stream has to be sent whatever is not settled."""
        self._unsent = deque(self._in_flight)

    @property
    def waits(self) -> bool:
        """Whether a request has no response yet."""
        return bool(self._in_flight)

    def settle(self, response: pb.ImportResponse) -> None:
        request = self._in_flight.popleft()
        for i, result in enumerate(response.results):
            if result.HasField("status"):
                self._refuse(i, request.items[i].id, convert.from_result(result))
        self.outcome.settled += len(request.items)
        self._failures = 0
        self._state.save(self.outcome.skipped + self.outcome.settled)

    def _refuse(self, offset: int, id: str, written: Written) -> None:
        self.outcome.refused_count += 1
        if len(self.outcome.refused) < _REFUSED_KEPT and written.error is not None:
            index = self.outcome.skipped + self.outcome.settled + offset
            self.outcome.refused.append(Refused(index, id, written.error))

    def pause_after(self, code: grpc.StatusCode) -> float | None:
        """How long to wait before the stream is opened again; None: it is not."""
        self._failures += 1
        if code not in _BROKEN or self._failures >= ATTEMPTS:
            return None
        self.outcome.resumed += 1
        return _FIRST_PAUSE_S * 2.0 ** (self._failures - 1)

    def finish(self) -> Imported:
        self._state.done()
        return self.outcome


def ended_early() -> SutraError:
    return SutraError(grpc.StatusCode.INTERNAL, "the server ended the stream before it answered every request")


def count_of(items: object, total: int | None) -> int | None:
    """How many items there are, if that is known."""
    return len(items) if total is None and isinstance(items, Sized) else total


def skip(items: Iterable[ItemLike], count: int) -> Iterable[ItemLike]:
    iterator = iter(items)
    for _ in zip(range(count), iterator):
        pass
    return iterator
