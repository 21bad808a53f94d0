"""Where a store is, who asks, and how: what a channel needs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import grpc

DEFAULT_ADDRESS = "127.0.0.1:7400"
_MESSAGE_BYTES = 64 << 20
_LOOPBACK = ("localhost:", "127.", "[::1]:", "unix:")

PathLike = str | os.PathLike[str]


def _read(path: PathLike | None) -> bytes | None:
    return None if path is None else Path(path).read_bytes()


@dataclass(frozen=True)
class Connection:
    address: str
    #: None: plaintext.
    credentials: grpc.ChannelCredentials | None
    metadata: tuple[tuple[str, str], ...]

    @property
    def options(self) -> list[tuple[str, str | int]]:
        """Answers may be as large as the server makes them; what failed without effect is tried again as the project says."""
        return [
            ("grpc.max_receive_message_length", _MESSAGE_BYTES),
            ("grpc.max_send_message_length", _MESSAGE_BYTES),
            ("grpc.service_config", files("sutra").joinpath("service-config.json").read_text()),
        ]


def connection(
    address: str | None,
    token: str | None,
    ca: PathLike | None,
    cert: PathLike | None,
    key: PathLike | None,
    tls: bool | None,
) -> Connection:
    """What is None comes from the environment, as the command line has it."""
    address = address or os.environ.get("SUTRA_ADDRESS") or DEFAULT_ADDRESS
    token = token or os.environ.get("SUTRA_TOKEN") or None
    ca = ca or os.environ.get("SUTRA_TLS_CA") or None
    cert = cert or os.environ.get("SUTRA_TLS_CERT") or None
    key = key or os.environ.get("SUTRA_TLS_KEY") or None
    secure = ca is not None if tls is None else tls
    if token is not None and not secure and not address.startswith(_LOOPBACK):
        raise ValueError(f"a token is not sent to {address} in plaintext: say ca= or tls=True")
    credentials = grpc.ssl_channel_credentials(_read(ca), _read(key), _read(cert)) if secure else None
    return Connection(address, credentials, (("authorization", f"Bearer {token}"),) if token else ())
