"""The awaited store does what the other does."""

import asyncio

import numpy as np
import pytest

import sutra
from conftest import token


def connect():
    return sutra.aio.connect(token=token("writer"))


def test_verbs_are_awaited_and_run_at_once(store):
    async def scenario():
        async with connect() as aio:
            await aio.learn_many(["The moon raises the tides.", "Bread is baked from flour."])
            seas, doughs = await asyncio.gather(aio.search("the sea", k=1), aio.search("dough", k=1))
            assert "tides" in seas[0].concept.content and "flour" in doughs[0].concept.content
            assert len((await aio.search_many(np.eye(384, dtype=np.float32)[:3], k=2))) == 3
            assert [c.id async for c in aio.concepts()] == [c.id for c in store.concepts()]

    asyncio.run(scenario())


def test_failures_are_the_same_exceptions(store):
    async def scenario():
        async with connect() as aio:
            with pytest.raises(sutra.InvalidArgument) as refused:
                await aio.search("tides", k=1001)
            assert refused.value.field == "k"
            with pytest.raises(sutra.NotFound):
                await aio.get("nothing")

    asyncio.run(scenario())


def test_cancelling_a_task_cancels_its_call(store):
    async def scenario():
        async with connect() as aio:
            task = asyncio.create_task(aio.embed(["the sea rises and falls " * 60] * 128))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await aio.limits()).dimension == 384

    asyncio.run(scenario())


async def _items(n):
    for i in range(n):
        await asyncio.sleep(0)
        yield {"id": f"c{i}", "content": str(i)}


def test_an_import_takes_items_as_they_come(store, tmp_path):
    async def scenario():
        async with connect() as aio:
            outcome = await aio.import_(_items(250), batch=40, embed=False, progress=False)
            assert outcome.written == 250
            assert (await aio.import_([], progress=False)).settled == 0

    asyncio.run(scenario())
    assert len(list(store.concepts())) == 250


def test_an_import_survives_broken_connections(store, cable):
    broken = cable(20_000, 20_000)

    async def scenario():
        async with sutra.aio.connect(broken.address, token=token("writer")) as through:
            return await through.import_(_items(3000), batch=50, embed=False, progress=False)

    outcome = asyncio.run(scenario())
    assert (outcome.written, outcome.resumed, broken.cuts) == (3000, 2, [])
    assert len(list(store.concepts())) == 3000


def test_an_import_whose_items_fail_ends_behind_what_came_before(store):
    async def failing():
        async for item in _items(30):
            yield item
        raise OSError("the source failed")

    async def scenario():
        async with connect() as aio:
            with pytest.raises(OSError, match="the source failed"):
                await aio.import_(failing(), batch=20, embed=False, progress=False)

    asyncio.run(scenario())
    assert len(list(store.concepts())) == 30
