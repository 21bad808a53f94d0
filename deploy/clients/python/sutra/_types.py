"""What goes in and what comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ._errors import SutraError

#: Vectors as they come out: float32, of length 1, [dimension].
Vector: TypeAlias = NDArray[np.float32]
#: Many of them, row by row: float32, [n][dimension].
Matrix: TypeAlias = NDArray[np.float32]
#: Vectors as they go in: any numbers in one row.
VectorLike: TypeAlias = NDArray[np.floating] | Sequence[float]

AssociationType: TypeAlias = Literal["semantic", "causal", "temporal", "hierarchical", "compositional"]
Direction: TypeAlias = Literal["both", "out", "in"]


def _time(microseconds: int) -> datetime | None:
    return datetime.fromtimestamp(microseconds / 1e6, timezone.utc) if microseconds else None


@dataclass(frozen=True)
class Association:
    """A typed, weighted edge. As part of an Item, `source` is left empty."""

    target: str
    source: str = ""
    type: AssociationType = "semantic"
    label: str = ""
    weight: float | None = None
    confidence: float | None = None
    created_us: int = 0
    last_used_us: int = 0


@dataclass(frozen=True)
class Item:
    """A concept to write. What is None is kept, or gets the server's default."""

    content: str
    id: str = ""
    embedding: VectorLike | None = None
    strength: float | None = None
    confidence: float | None = None
    source: str = ""
    category: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    associations: Sequence[Association] = ()
    created_us: int = 0
    #: Write only if the stored concept has this version; 0: only if there is none.
    if_version: int | None = None


#: What learn_many() and import_() take: a text, an Item, or its fields by name.
ItemLike: TypeAlias = "str | Item | Mapping[str, object]"


@dataclass(frozen=True)
class Concept:
    """A concept as it is stored."""

    id: str
    content: str
    strength: float
    confidence: float
    access_count: int
    created_us: int
    last_accessed_us: int
    source: str
    category: str
    attributes: Mapping[str, str]
    version: int
    embedding: Vector | None = None

    @property
    def created(self) -> datetime | None:
        return _time(self.created_us)

    @property
    def last_accessed(self) -> datetime | None:
        return _time(self.last_accessed_us)


@dataclass(frozen=True)
class Columns:
    """n concepts, a column for each field: numbers as arrays that lie where the answer lay."""

    ids: list[str]
    contents: list[str]
    sources: list[str]
    categories: list[str]
    attributes: list[dict[str, str]]
    strength: NDArray[np.float32]
    confidence: NDArray[np.float32]
    access_count: NDArray[np.uint64]
    created_us: NDArray[np.int64]
    last_accessed_us: NDArray[np.int64]
    version: NDArray[np.uint64]
    #: [n][dimension], zeros for a concept without one; None unless asked for.
    embedding: Matrix | None
    #: Rows without an embedding; None unless asked for.
    without_embedding: NDArray[np.uint32] | None
    #: Of the ids that were asked for, those that are not there.
    missing: list[str]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Written:
    """What became of one item."""

    id: str
    version: int
    #: No concept of this id existed.
    created: bool
    #: Why it was refused; None when it was written.
    error: SutraError | None = None


class ItemsRefused(Exception):
    """Some items of a batch were refused; the others are written."""

    def __init__(self, results: Sequence[Written]) -> None:
        #: Of every item, in order.
        self.results = list(results)
        refused = self.refused
        super().__init__(f"{len(refused)} of {len(self.results)} items were refused, the first with {refused[0].error}")

    @property
    def refused(self) -> list[Written]:
        return [result for result in self.results if result.error is not None]


@dataclass(frozen=True)
class Hit:
    id: str
    #: Cosine, −1…1.
    score: float
    #: As the codes estimate it.
    approximate_score: float
    concept: Concept | None = None


class Hits(list[Hit]):
    """The hits of one query, best first, and what the search did."""

    #: The recall that the server expects; 0: nothing is known.
    expected_recall: float = 0
    #: 0: the search was exact.
    codebook_version: int = 0
    #: Shards that did not answer, where allow_partial was said.
    shards_missing: tuple[int, ...] = ()

    @property
    def ids(self) -> list[str]:
        return [hit.id for hit in self]

    @property
    def scores(self) -> NDArray[np.float32]:
        return np.array([hit.score for hit in self], dtype=np.float32)


@dataclass(frozen=True)
class Refused:
    """An item that an import could not write."""

    #: Its place among the items, from 0 on.
    index: int
    id: str
    error: SutraError


@dataclass
class Imported:
    """How far an import is; what import_() returns at its end."""

    #: Items that are durable or refused, in this run.
    settled: int = 0
    #: Of those, the refused ones: how many, and the first hundred.
    refused_count: int = 0
    refused: list[Refused] = field(default_factory=list)
    #: Items that an earlier run had settled and this one left out.
    skipped: int = 0
    #: How often the stream broke and was taken up again.
    resumed: int = 0

    @property
    def written(self) -> int:
        return self.settled - self.refused_count
