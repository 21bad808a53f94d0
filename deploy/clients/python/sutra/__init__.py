"""
Sutra: learn texts, search by meaning, follow associations.

    import sutra

    with sutra.connect("localhost:7400") as store:
        store.learn("Tides are caused by the gravity of the moon.", id="tides")
        for hit in store.search("why does the sea rise and fall", k=3):
            print(hit.score, hit.id, hit.concept.content)

sutra.aio has the same for asyncio, and sutra.v1 the generated messages and stubs.
"""

from . import aio
from ._errors import (
    Aborted,
    Cancelled,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    SutraError,
    Unauthenticated,
    Unavailable,
    Violation,
)
from ._store import Store, connect
from ._types import (
    Association,
    AssociationType,
    Columns,
    Concept,
    Direction,
    Hit,
    Hits,
    Imported,
    Item,
    ItemLike,
    ItemsRefused,
    Refused,
    Written,
)

__all__ = [
    "Aborted",
    "Association",
    "AssociationType",
    "Cancelled",
    "Columns",
    "Concept",
    "DeadlineExceeded",
    "Direction",
    "FailedPrecondition",
    "Hit",
    "Hits",
    "Imported",
    "InvalidArgument",
    "Item",
    "ItemLike",
    "ItemsRefused",
    "NotFound",
    "PermissionDenied",
    "Refused",
    "ResourceExhausted",
    "Store",
    "SutraError",
    "Unauthenticated",
    "Unavailable",
    "Violation",
    "Written",
    "aio",
    "connect",
]
