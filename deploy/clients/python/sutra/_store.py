"""A store that answers when it has answered; sutra.aio has the one that is awaited."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Generic, ParamSpec, TypeVar, cast, overload

import grpc
from google.protobuf.message import Message

from . import _convert as convert
from . import _verbs as verbs
from ._connection import Connection, PathLike, connection
from ._errors import SutraError, from_call
from ._import import WINDOW, Plan, State, count_of, ended_early, skip
from ._progress import Progress, Reporter
from ._types import Concept, Imported, ItemLike
from .v1 import concept_service_pb2 as pb

P = ParamSpec("P")
T = TypeVar("T")


class _Verb(Generic[P, T]):
    """A verb as a method of Store."""

    def __init__(self, verb: Callable[P, verbs.Steps[T]]) -> None:
        self._verb = verb
        self.__doc__ = verb.__doc__

    @overload
    def __get__(self, store: None, owner: type[Store]) -> Callable[P, verbs.Steps[T]]: ...
    @overload
    def __get__(self, store: Store, owner: type[Store]) -> Callable[P, T]: ...

    def __get__(self, store: Store | None, owner: type[Store]) -> Callable[P, Any]:
        if store is None:
            return self._verb

        def method(*args: P.args, **kwargs: P.kwargs) -> T:
            return store._run(self._verb(*args, **kwargs))

        method.__doc__, method.__name__ = self._verb.__doc__, self._verb.__name__
        return method


class Store:
    """A router or a shard. Any number of threads may use one."""

    def __init__(self, target: Connection, timeout: float) -> None:
        self._target, self._timeout = target, timeout
        if target.credentials is None:
            self._channel = grpc.insecure_channel(target.address, target.options)
        else:
            self._channel = grpc.secure_channel(target.address, target.credentials, target.options)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._channel.close()

    learn = _Verb(verbs.learn)
    learn_many = _Verb(verbs.learn_many)
    put = _Verb(verbs.put)
    get = _Verb(verbs.get)
    get_many = _Verb(verbs.get_many)
    get_columns = _Verb(verbs.get_columns)
    delete = _Verb(verbs.delete)
    associate = _Verb(verbs.associate)
    dissociate = _Verb(verbs.dissociate)
    neighbors = _Verb(verbs.neighbors)
    search = _Verb(verbs.search)
    search_many = _Verb(verbs.search_many)
    distance = _Verb(verbs.distance)
    distances = _Verb(verbs.distances)
    reinforce = _Verb(verbs.reinforce)
    embed = _Verb(verbs.embed)
    stats = _Verb(verbs.stats)
    limits = _Verb(verbs.limits)

    def concepts(self, *, page: int = 256, embedding: bool = False) -> Iterator[Concept]:
        """Every concept, one after the other."""
        call = self._channel.unary_stream(
            verbs.CONCEPTS + "List",
            request_serializer=pb.ListRequest.SerializeToString,
            response_deserializer=pb.ListResponse.FromString,
        )(pb.ListRequest(page_size=page, include_embedding=embedding), metadata=self._target.metadata)
        try:
            for response in call:
                yield from map(convert.from_concept, response.concepts)
        except grpc.RpcError as error:
            raise _error_of(error) from None
        finally:
            call.cancel()

    def import_(
        self,
        items: Iterable[ItemLike],
        *,
        batch: int = 1000,
        embed: bool = True,
        progress: Progress = True,
        total: int | None = None,
        state: str | os.PathLike[str] | None = None,
    ) -> Imported:
        """Writes any number of items as a stream, and goes on where it was when the server or the network comes back.

        Refused items do not stop it: the result counts and names them. `progress` is a bar on a terminal, or a function that
        is told how far it is. With `state`, a file that remembers what is settled, the same items given again after this
        process was interrupted are taken up behind the last durable one; the file goes when all are written.
        """
        return _Import(self, items, batch, embed, Reporter(progress, count_of(items, total)), State(state)).run()

    def _run(self, steps: verbs.Steps[T]) -> T:
        try:
            call = next(steps)
            while True:
                call = steps.send(self._ask(call))
        except StopIteration as end:
            return cast(T, end.value)

    def _ask(self, call: verbs.Call) -> Message:
        ask = self._channel.unary_unary(
            call.path,
            request_serializer=verbs.serialize,
            response_deserializer=call.reply.FromString,
        )
        try:
            return ask(call.request, timeout=self._timeout, metadata=self._target.metadata)
        except grpc.RpcError as error:
            raise _error_of(error) from None


def _error_of(error: grpc.RpcError) -> SutraError:
    call = cast(grpc.Call, error)
    return from_call(call.code(), call.details(), cast(Any, call.trailing_metadata()))


class _Import:
    """One import: a thread of gRPC takes requests from it while the caller's thread waits for responses."""

    def __init__(
        self, store: Store, items: Iterable[ItemLike], batch: int, embed: bool, reporter: Reporter, state: State
    ) -> None:
        self._store, self._reporter = store, reporter
        self._plan = Plan(batch, embed, state)
        self._items = iter(skip(items, self._plan.outcome.skipped))
        # Of the plan and of every stream's `running`. Never held while an item is awaited.
        self._lock = threading.Lock()
        # Of the items: the thread of a stream that broke may still wait for one.
        self._turn = threading.Lock()
        self._failure: Exception | None = None

    def run(self) -> Imported:
        while (error := self._stream()) is not None:
            pause = self._plan.pause_after(error.code)
            if pause is None:
                raise error
            time.sleep(pause)
        if self._failure is not None:
            raise self._failure
        self._reporter.update(self._plan.outcome, last=True)
        return self._plan.finish()

    def _stream(self) -> SutraError | None:
        """One stream to its end; why it broke, if it did."""
        stream = _Stream()
        self._plan.begin_stream()
        call = self._store._channel.stream_stream(
            verbs.CONCEPTS + "Import",
            request_serializer=pb.ImportRequest.SerializeToString,
            response_deserializer=pb.ImportResponse.FromString,
        )(self._requests(stream), metadata=self._store._target.metadata)
        try:
            for response in call:
                with self._lock:
                    self._plan.settle(response)
                stream.window.release()
                self._reporter.update(self._plan.outcome)
        except grpc.RpcError as error:
            return _error_of(error)
        finally:
            with self._lock:
                stream.running = False
            stream.window.release()
            call.cancel()
        return ended_early() if self._plan.waits else None

    def _requests(self, stream: _Stream) -> Iterator[pb.ImportRequest]:
        while True:
            stream.window.acquire()
            if (request := self._take(stream) or self._make(stream)) is None:
                return
            yield request

    def _take(self, stream: _Stream) -> pb.ImportRequest | None:
        with self._lock:
            return self._plan.take() if stream.running else None

    def _make(self, stream: _Stream) -> pb.ImportRequest | None:
        """Waits for items until they fill a request. An error in them ends the import behind what came before."""
        with self._turn:
            if (request := self._take(stream)) is not None or not stream.running:
                return request
            try:
                while not self._add(next(self._items)):
                    pass
            except StopIteration:
                self._flush()
            except Exception as failure:
                self._failure = failure
                self._flush()
        return self._take(stream)

    def _add(self, item: ItemLike) -> bool:
        with self._lock:
            return self._plan.add(item)

    def _flush(self) -> None:
        with self._lock:
            self._plan.flush()


class _Stream:
    def __init__(self) -> None:
        self.running = True
        self.window = threading.Semaphore(WINDOW)


def connect(
    address: str | None = None,
    *,
    token: str | None = None,
    ca: PathLike | None = None,
    cert: PathLike | None = None,
    key: PathLike | None = None,
    tls: bool | None = None,
    timeout: float = 30,
) -> Store:
    """A store at "host:port", to be used in a `with`. Connects with the first call.

    What is not given comes from SUTRA_ADDRESS, SUTRA_TOKEN, SUTRA_TLS_CA, SUTRA_TLS_CERT and SUTRA_TLS_KEY; without an
    authority (`ca`) the connection is plaintext, unless `tls` asks for the system's. `timeout` is in seconds, for each call.
    """
    return Store(connection(address, token, ca, cert, key, tls), timeout)
