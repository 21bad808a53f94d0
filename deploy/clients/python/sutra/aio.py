"""The same store, awaited: `async with sutra.aio.connect(...) as store: await store.search("tides")`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable
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
    def __get__(self, store: Store, owner: type[Store]) -> Callable[P, Coroutine[Any, Any, T]]: ...

    def __get__(self, store: Store | None, owner: type[Store]) -> Callable[P, Any]:
        if store is None:
            return self._verb

        async def method(*args: P.args, **kwargs: P.kwargs) -> T:
            return await store._run(self._verb(*args, **kwargs))

        method.__doc__, method.__name__ = self._verb.__doc__, self._verb.__name__
        return method


class Store:
    """A router or a shard, for the event loop it is used in. Calls may run at once: asyncio.gather()."""

    def __init__(self, target: Connection, timeout: float) -> None:
        self._target, self._timeout = target, timeout
        if target.credentials is None:
            self._channel = grpc.aio.insecure_channel(target.address, target.options)
        else:
            self._channel = grpc.aio.secure_channel(target.address, target.credentials, target.options)

    async def __aenter__(self) -> Store:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._channel.close()

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

    async def concepts(self, *, page: int = 256, embedding: bool = False) -> AsyncIterator[Concept]:
        """Every concept, one after the other."""
        call = self._channel.unary_stream(
            verbs.CONCEPTS + "List",
            request_serializer=pb.ListRequest.SerializeToString,
            response_deserializer=pb.ListResponse.FromString,
        )(pb.ListRequest(page_size=page, include_embedding=embedding), metadata=self._target.metadata)
        try:
            async for response in call:
                for concept in response.concepts:
                    yield convert.from_concept(concept)
        except grpc.aio.AioRpcError as error:
            raise _error_of(error) from None
        finally:
            call.cancel()

    async def import_(
        self,
        items: Iterable[ItemLike] | AsyncIterable[ItemLike],
        *,
        batch: int = 1000,
        embed: bool = True,
        progress: Progress = True,
        total: int | None = None,
        state: str | os.PathLike[str] | None = None,
    ) -> Imported:
        """See sutra.Store.import_(). The items may come asynchronously too."""
        return await _Import(self, items, batch, embed, Reporter(progress, count_of(items, total)), State(state)).run()

    async def _run(self, steps: verbs.Steps[T]) -> T:
        try:
            call = next(steps)
            while True:
                call = steps.send(await self._ask(call))
        except StopIteration as end:
            return cast(T, end.value)

    async def _ask(self, call: verbs.Call) -> Message:
        ask = self._channel.unary_unary(
            call.path,
            request_serializer=verbs.serialize,
            response_deserializer=call.reply.FromString,
        )
        try:
            return await ask(call.request, timeout=self._timeout, metadata=self._target.metadata)
        except grpc.aio.AioRpcError as error:
            raise _error_of(error) from None


#: What grpc.aio itself, not the server, calls a connection that breaks while it begins to send or to receive.
_BROKE = (grpc.StatusCode.INTERNAL, "Internal error from Core")


def _error_of(error: grpc.aio.AioRpcError) -> SutraError:
    code = grpc.StatusCode.UNAVAILABLE if (error.code(), error.details()) == _BROKE else error.code()
    return from_call(code, error.details(), cast(Any, error.trailing_metadata()))


async def _asynchronous(items: Iterable[ItemLike] | AsyncIterable[ItemLike], skipped: int) -> AsyncIterator[ItemLike]:
    if not isinstance(items, AsyncIterable):
        for item in skip(items, skipped):
            yield item
        return
    async for item in items:
        if skipped > 0:
            skipped -= 1
        else:
            yield item


class _Import:
    """One import: a task makes requests of the items, whatever becomes of a stream; each stream has one that sends them."""

    def __init__(
        self,
        store: Store,
        items: Iterable[ItemLike] | AsyncIterable[ItemLike],
        batch: int,
        embed: bool,
        reporter: Reporter,
        state: State,
    ) -> None:
        self._store, self._reporter = store, reporter
        self._plan = Plan(batch, embed, state)
        self._items = _asynchronous(items, self._plan.outcome.skipped)
        self._window = asyncio.Semaphore(WINDOW)
        self._news = asyncio.Event()
        self._ended = False

    async def run(self) -> Imported:
        maker = asyncio.create_task(self._make())
        try:
            while (error := await self._stream()) is not None:
                pause = self._plan.pause_after(error.code)
                if pause is None:
                    raise error
                await asyncio.sleep(pause)
            await maker
        finally:
            maker.cancel()
        self._reporter.update(self._plan.outcome, last=True)
        return self._plan.finish()

    async def _make(self) -> None:
        """At most WINDOW requests ahead of the responses. An error in the items ends the import behind what came before."""
        try:
            await self._window.acquire()
            async for item in self._items:
                if self._plan.add(item):
                    self._news.set()
                    await self._window.acquire()
        finally:
            self._plan.flush()
            self._ended = True
            self._news.set()

    async def _stream(self) -> SutraError | None:
        """One stream to its end; why it broke, if it did."""
        self._plan.begin_stream()
        call = self._store._channel.stream_stream(
            verbs.CONCEPTS + "Import",
            request_serializer=pb.ImportRequest.SerializeToString,
            response_deserializer=pb.ImportResponse.FromString,
        )(metadata=self._store._target.metadata)
        sender = asyncio.create_task(self._send(call))
        try:
            async for response in call:
                self._plan.settle(response)
                self._window.release()
                self._reporter.update(self._plan.outcome)
        except grpc.aio.AioRpcError as error:
            return _error_of(error)
        finally:
            sender.cancel()
            call.cancel()
            await asyncio.gather(sender, return_exceptions=True)
        return ended_early() if self._plan.waits else None

    async def _send(self, call: grpc.aio.StreamStreamCall[Message, pb.ImportResponse]) -> None:
        """A stream that breaks says why to whoever reads from it."""
        try:
            while True:
                self._news.clear()
                while (request := self._plan.take()) is not None:
                    await call.write(request)
                if self._ended:
                    return await call.done_writing()
                await self._news.wait()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return


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
    """See sutra.connect()."""
    return Store(connection(address, token, ca, cert, key, tls), timeout)
