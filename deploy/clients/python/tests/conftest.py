"""Tests run against the cluster that the environment names: deploy/cluster [--tls] -- deploy/clients/python/run pytest."""

import asyncio
import contextlib
import os
import select
import socket
import threading
from pathlib import Path

import pytest

import sutra


def token(role):
    folder = os.environ.get("SUTRA_TOKEN_FOLDER")
    return (Path(folder) / role).read_text().strip() if folder else None


async def forget_everything():
    async with sutra.aio.connect(token=token("writer")) as store:
        await asyncio.gather(*[store.delete(concept.id) async for concept in store.concepts()])


@pytest.fixture
def store():
    asyncio.run(forget_everything())
    with sutra.connect(token=token("writer")) as opened:
        yield opened


class Cable:
    """What lies between a client and the server, and can be cut: `cut_after` bytes towards the server each time."""

    def __init__(self, target, cut_after):
        self._target = target
        self.cuts = list(cut_after)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"localhost:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self):
        self._listener.close()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._carry, args=(client, self.cuts.pop(0) if self.cuts else None)).start()

    def _carry(self, client, left):
        host, port = self._target.rsplit(":", 1)
        with client, socket.create_connection((host, int(port))) as server, contextlib.suppress(OSError):
            while left is None or left > 0:
                readable, _, _ = select.select([client, server], [], [], 30)
                for one in readable:
                    if not (piece := one.recv(65536)):
                        return
                    if one is client:
                        server.sendall(piece)
                        left = None if left is None else left - len(piece)
                    else:
                        client.sendall(piece)


@pytest.fixture
def cable():
    """Cable after so many bytes, to the cluster."""
    cables = []

    def lay(*cut_after):
        cables.append(Cable(os.environ["SUTRA_ADDRESS"], cut_after))
        return cables[-1]

    yield lay
    for one in cables:
        one.close()
