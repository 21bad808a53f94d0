"""What a call can end with, as exceptions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2


@dataclass(frozen=True)
class Violation:
    """A field of the request that is wrong, and how: ("concept.id", "256 bytes, the limit is 255")."""

    field: str
    description: str


@dataclass(eq=False)
class SutraError(Exception):
    """A call failed. Subclasses name the common codes."""

    code: grpc.StatusCode
    message: str
    #: From google.rpc.BadRequest: which fields are wrong.
    violations: tuple[Violation, ...] = ()
    #: From google.rpc.ErrorInfo: "LIMIT_EXCEEDED", "VERSION_MISMATCH", …; "" if none.
    reason: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.code.name}: {self.message}"

    @property
    def field(self) -> str:
        """The first wrong field; "" if the server named none."""
        return self.violations[0].field if self.violations else ""


class InvalidArgument(SutraError):
    """The request is wrong: see `violations`."""


class NotFound(SutraError):
    """There is no such concept."""


class Aborted(SutraError):
    """A condition did not hold (`reason` VERSION_MISMATCH), or something else is under way."""


class FailedPrecondition(SutraError):
    """The system is not in a state for this: no model, no codebook."""


class ResourceExhausted(SutraError):
    """A limit was met."""


class Unauthenticated(SutraError):
    """No token, or one that the server does not know."""


class PermissionDenied(SutraError):
    """The token's role may not do this."""


class Unavailable(SutraError):
    """Nobody answers, or a shard is missing."""


class DeadlineExceeded(SutraError):
    """No answer within the timeout."""


class Cancelled(SutraError):
    """The call was cancelled."""


_CLASSES: dict[grpc.StatusCode, type[SutraError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgument,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ABORTED: Aborted,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPrecondition,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhausted,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.CANCELLED: Cancelled,
}
_BY_NUMBER: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}
_DETAILS = "grpc-status-details-bin"


def from_status(status: status_pb2.Status) -> SutraError:
    """Of one item of a batch, or out of a call's details."""
    code = _BY_NUMBER.get(status.code, grpc.StatusCode.UNKNOWN)
    error = _CLASSES.get(code, SutraError)(code, status.message)
    bad_request, info = error_details_pb2.BadRequest(), error_details_pb2.ErrorInfo()
    for detail in status.details:
        if detail.Unpack(bad_request):
            error.violations = tuple(Violation(v.field, v.description) for v in bad_request.field_violations)
        elif detail.Unpack(info):
            error.reason, error.metadata = info.reason, dict(info.metadata)
    return error


def from_call(code: grpc.StatusCode, message: str | None, trailers: Iterable[tuple[str, str | bytes]] | None) -> SutraError:
    """Of a whole call: the call's own code and message, with what its details add."""
    status = status_pb2.Status()
    raw = next((value for key, value in trailers or () if key == _DETAILS), b"")
    try:
        status.ParseFromString(raw if isinstance(raw, bytes) else raw.encode())
    except DecodeError:
        status.Clear()
    status.code, status.message = code.value[0], message or ""
    return from_status(status)
