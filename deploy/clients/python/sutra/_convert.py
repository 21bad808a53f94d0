"""Between the package's types and the contract's messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from ._errors import from_status
from ._types import Association, AssociationType, Columns, Concept, Direction, Hit, Hits, Item, ItemLike, Matrix, Vector, VectorLike, Written
from .v1 import concept_service_pb2 as verbs_pb
from .v1 import types_pb2 as pb

_PREFIX = "ASSOCIATION_TYPE_"
_DIRECTIONS: dict[Direction, verbs_pb.Direction] = {
    "both": verbs_pb.DIRECTION_UNSPECIFIED,
    "out": verbs_pb.DIRECTION_OUT,
    "in": verbs_pb.DIRECTION_IN,
}


def to_embedding(vector: VectorLike) -> pb.Embedding:
    row = np.asarray(vector, dtype="<f4")
    if row.ndim != 1:
        raise ValueError(f"a vector is one row of numbers, not an array of shape {row.shape}")
    return pb.Embedding(f32le=row.tobytes())


def from_embedding(embedding: pb.Embedding) -> Vector:
    if embedding.f32le:
        return np.frombuffer(embedding.f32le, dtype="<f4")
    return np.array(embedding.values, dtype=np.float32)


def to_matrix(embeddings: Sequence[pb.Embedding]) -> Matrix:
    return np.stack([from_embedding(embedding) for embedding in embeddings])


def to_type(name: AssociationType) -> pb.AssociationType:
    try:
        return cast(pb.AssociationType, pb.AssociationType.Value(_PREFIX + name.upper()))
    except ValueError:
        known = ", ".join(key.removeprefix(_PREFIX).lower() for key in pb.AssociationType.keys()[1:])
        raise ValueError(f"there is no association type '{name}': {known}") from None


def to_direction(direction: Direction) -> verbs_pb.Direction:
    try:
        return _DIRECTIONS[direction]
    except KeyError:
        raise ValueError(f"there is no direction '{direction}': {', '.join(_DIRECTIONS)}") from None


def to_association(association: Association) -> pb.Association:
    message = pb.Association(
        source=association.source,
        target=association.target,
        type=to_type(association.type),
        label=association.label,
    )
    if association.weight is not None:
        message.weight = association.weight
    if association.confidence is not None:
        message.confidence = association.confidence
    return message


def from_association(message: pb.Association) -> Association:
    return Association(
        source=message.source,
        target=message.target,
        type=cast(AssociationType, pb.AssociationType.Name(message.type).removeprefix(_PREFIX).lower()),
        label=message.label,
        weight=message.weight,
        confidence=message.confidence,
        created_us=message.created_us,
        last_used_us=message.last_used_us,
    )


def as_item(item: ItemLike) -> Item:
    if isinstance(item, Item):
        return item
    return Item(item) if isinstance(item, str) else Item(**cast(dict[str, Any], dict(item)))


def to_input(item: Item) -> pb.ConceptInput:
    message = pb.ConceptInput(
        id=item.id,
        content=item.content,
        source=item.source,
        category=item.category,
        attributes=item.attributes,
        created_us=item.created_us,
        associations=[to_association(association) for association in item.associations],
    )
    if item.embedding is not None:
        message.embedding.CopyFrom(to_embedding(item.embedding))
    if item.strength is not None:
        message.strength = item.strength
    if item.confidence is not None:
        message.confidence = item.confidence
    if item.if_version is not None:
        message.if_version = item.if_version
    return message


def from_result(result: verbs_pb.WriteResult) -> Written:
    error = from_status(result.status) if result.HasField("status") else None
    return Written(result.id, result.version, result.created, error)


def from_concept(message: pb.Concept) -> Concept:
    return Concept(
        id=message.id,
        content=message.content,
        strength=message.strength,
        confidence=message.confidence,
        access_count=message.access_count,
        created_us=message.created_us,
        last_accessed_us=message.last_accessed_us,
        source=message.source,
        category=message.category,
        attributes=dict(message.attributes),
        version=message.version,
        embedding=from_embedding(message.embedding) if message.HasField("embedding") else None,
    )


def from_hits(hits: Sequence[verbs_pb.Hit], settings: verbs_pb.SearchSettings, missing: Sequence[int]) -> Hits:
    result = Hits(
        Hit(hit.id, hit.score, hit.approximate_score, from_concept(hit.concept) if hit.HasField("concept") else None)
        for hit in hits
    )
    result.expected_recall = settings.expected_recall
    result.codebook_version = settings.codebook_version
    result.shards_missing = tuple(missing)
    return result


def _texts(column: pb.TextColumn) -> list[str]:
    offsets = np.frombuffer(column.offsets, dtype="<i4").tolist()
    return [column.data[a:b].decode() for a, b in zip(offsets, offsets[1:])]


def _attributes(column: pb.AttributeColumn) -> list[dict[str, str]]:
    offsets = np.frombuffer(column.offsets, dtype="<i4").tolist()
    pairs = list(zip(_texts(column.keys), _texts(column.values)))
    return [dict(pairs[a:b]) for a, b in zip(offsets, offsets[1:])]


def from_columns(message: pb.ConceptColumns, with_embedding: bool, missing: list[str]) -> Columns:
    n = message.count
    return Columns(
        ids=_texts(message.id),
        contents=_texts(message.content),
        sources=_texts(message.source),
        categories=_texts(message.category),
        attributes=_attributes(message.attributes),
        strength=np.frombuffer(message.strength, dtype="<f4"),
        confidence=np.frombuffer(message.confidence, dtype="<f4"),
        access_count=np.frombuffer(message.access_count, dtype="<u8"),
        created_us=np.frombuffer(message.created_us, dtype="<i8"),
        last_accessed_us=np.frombuffer(message.last_accessed_us, dtype="<i8"),
        version=np.frombuffer(message.version, dtype="<u8"),
        embedding=np.frombuffer(message.embedding, dtype="<f4").reshape(n, message.dimension) if with_embedding else None,
        without_embedding=np.array(message.without_embedding, dtype=np.uint32) if with_embedding else None,
        missing=missing,
    )
