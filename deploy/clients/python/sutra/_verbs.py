"""
The verbs, without input and output: a generator yields the calls to make, is sent their replies, and returns the result. The
store of this package and that of sutra.aio run the same ones.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar, cast

import numpy as np
from google.protobuf.message import Message
from numpy.typing import NDArray

from . import _convert as convert
from ._types import (
    Association,
    AssociationType,
    Columns,
    Concept,
    Direction,
    Hits,
    Item,
    ItemLike,
    ItemsRefused,
    Matrix,
    VectorLike,
    Written,
)
from .v1 import admin_service_pb2 as admin_pb
from .v1 import concept_service_pb2 as pb
from .v1 import embedding_service_pb2 as embedding_pb
from .v1 import types_pb2

CONCEPTS = "/sutra.v1.ConceptService/"
ADMIN = "/sutra.v1.AdminService/"
EMBEDDINGS = "/sutra.v1.EmbeddingService/"

#: GetLimits.max_batch_items, max_batch_queries and max_page_items of every server so far.
MAX_ITEMS = 10_000
MAX_QUERIES = 1_000
MAX_PAGE = 10_000

R = TypeVar("R", bound=Message)
T = TypeVar("T")


@dataclass(frozen=True)
class Call:
    path: str
    request: Message
    reply: type[Message]


def serialize(message: Message) -> bytes:
    return message.SerializeToString()


Steps: TypeAlias = Generator[Call, Message, T]


def _ask(path: str, request: Message, reply: type[R]) -> Steps[R]:
    return cast(R, (yield Call(path, request, reply)))


def _chunks(values: Sequence[T], size: int) -> Iterable[Sequence[T]]:
    return (values[i : i + size] for i in range(0, len(values), size))


def learn(
    content: str,
    *,
    id: str = "",
    embedding: VectorLike | None = None,
    strength: float | None = None,
    confidence: float | None = None,
    source: str = "",
    category: str = "",
    attributes: dict[str, str] | None = None,
    associations: Sequence[Association] = (),
    if_version: int | None = None,
) -> Steps[Written]:
    """Writes a concept from text, which the server embeds unless a vector is given. Without an id one is made from the text.
    What is not given keeps what the stored concept has."""
    item = Item(content, id, embedding, strength, confidence, source, category, attributes or {}, associations, 0, if_version)
    request = pb.LearnRequest(concept=convert.to_input(item))
    reply = yield from _ask(CONCEPTS + "Learn", request, pb.LearnResponse)
    return Written(reply.id, reply.version, reply.created)


def learn_many(items: Iterable[ItemLike]) -> Steps[list[Written]]:
    """learn() for many, in batches; ItemsRefused, after all valid ones are written, if some are refused."""
    inputs = [convert.to_input(convert.as_item(item)) for item in items]
    results: list[Written] = []
    for chunk in _chunks(inputs, MAX_ITEMS):
        reply = yield from _ask(CONCEPTS + "LearnBatch", pb.LearnBatchRequest(items=chunk), pb.LearnBatchResponse)
        results.extend(convert.from_result(result) for result in reply.results)
    if any(result.error for result in results):
        raise ItemsRefused(results)
    return results


def put(item: ItemLike) -> Steps[Written]:
    """Writes a concept exactly as given, and embeds nothing."""
    request = pb.PutRequest(concept=convert.to_input(convert.as_item(item)))
    reply = yield from _ask(CONCEPTS + "Put", request, pb.PutResponse)
    return Written(reply.id, reply.version, reply.created)


def get(id: str, *, embedding: bool = False) -> Steps[Concept]:
    """One concept; NotFound when there is none."""
    request = pb.GetRequest(id=id, include_embedding=embedding)
    reply = yield from _ask(CONCEPTS + "Get", request, pb.GetResponse)
    return convert.from_concept(reply.concept)


def get_many(ids: Sequence[str], *, embedding: bool = False) -> Steps[list[Concept | None]]:
    """Many concepts, in the order of their ids; None for what is not there."""
    concepts: list[Concept | None] = []
    for chunk in _chunks(ids, MAX_ITEMS):
        request = pb.BatchGetRequest(ids=chunk, include_embedding=embedding)
        reply = yield from _ask(CONCEPTS + "BatchGet", request, pb.BatchGetResponse)
        found = iter(reply.concepts)
        missing = set(reply.missing)
        concepts.extend(None if i in missing else convert.from_concept(next(found)) for i in range(len(chunk)))
    return concepts


def get_columns(ids: Sequence[str], *, embedding: bool = False) -> Steps[Columns]:
    """Up to 10,000 concepts as one array or list per field: the fastest way to read many."""
    request = pb.BatchGetRequest(ids=ids, include_embedding=embedding, columns=True)
    reply = yield from _ask(CONCEPTS + "BatchGet", request, pb.BatchGetResponse)
    return convert.from_columns(reply.columns, embedding, [ids[i] for i in reply.missing])


def delete(id: str, *, if_version: int | None = None) -> Steps[bool]:
    """Removes a concept and its associations; whether there was one."""
    request = pb.DeleteRequest(id=id)
    if if_version is not None:
        request.if_version = if_version
    reply = yield from _ask(CONCEPTS + "Delete", request, pb.DeleteResponse)
    return reply.existed


def associate(
    source: str,
    target: str,
    type: AssociationType = "semantic",
    label: str = "",
    *,
    weight: float | None = None,
    confidence: float | None = None,
) -> Steps[Association]:
    """Writes an association, or writes it anew; NotFound when its source does not exist."""
    wanted = Association(target, source, type, label, weight, confidence)
    request = pb.AssociateRequest(association=convert.to_association(wanted))
    reply = yield from _ask(CONCEPTS + "Associate", request, pb.AssociateResponse)
    return convert.from_association(reply.association)


def dissociate(source: str, target: str, type: AssociationType = "semantic", label: str = "") -> Steps[bool]:
    """Removes an association; whether there was one."""
    key = types_pb2.AssociationKey(source=source, target=target, type=convert.to_type(type), label=label)
    reply = yield from _ask(CONCEPTS + "Dissociate", pb.DissociateRequest(key=key), pb.DissociateResponse)
    return reply.existed


def neighbors(
    id: str,
    direction: Direction = "both",
    *,
    types: Sequence[AssociationType] = (),
    limit: int | None = None,
) -> Steps[list[Association]]:
    """The associations of a concept: those that start there, then those that end there."""
    found: list[Association] = []
    request = pb.NeighborsRequest(
        id=id, direction=convert.to_direction(direction), types=[convert.to_type(name) for name in types]
    )
    while limit is None or len(found) < limit:
        request.limit = MAX_PAGE if limit is None else min(limit - len(found), MAX_PAGE)
        reply = yield from _ask(CONCEPTS + "Neighbors", request, pb.NeighborsResponse)
        found.extend(convert.from_association(association) for association in reply.associations)
        request.cursor = reply.cursor
        if not reply.cursor:
            break
    return found


def _query(query: str | VectorLike | None, id: str | None) -> pb.Query:
    if (query is None) == (id is None):
        raise ValueError("a search takes a text, a vector or id=")
    if id is not None:
        return pb.Query(concept_id=id)
    if isinstance(query, str):
        return pb.Query(text=query)
    return pb.Query(embedding=convert.to_embedding(cast(VectorLike, query)))


def search(
    query: str | VectorLike | None = None,
    *,
    id: str | None = None,
    k: int = 10,
    recall: float = 0,
    exact: bool = False,
    rerank: int = 0,
    nprobe: int = 0,
    concepts: bool = True,
    allow_partial: bool = False,
) -> Steps[Hits]:
    """The k concepts nearest in meaning to a text, a vector, or a stored concept (id=), best first. `recall` says which share
    of the exact answer it should find (the server's default if 0); `rerank`, `nprobe` and `exact` set how by hand."""
    request = pb.SearchRequest(
        query=_query(query, id),
        k=k,
        recall_target=recall,
        exact=exact,
        rerank=rerank,
        nprobe=nprobe,
        include_concepts=concepts,
        allow_partial=allow_partial,
    )
    reply = yield from _ask(CONCEPTS + "Search", request, pb.SearchResponse)
    return convert.from_hits(reply.hits, reply.settings, reply.shards_missing)


def search_many(
    queries: Sequence[str] | NDArray[np.floating],
    *,
    k: int = 10,
    recall: float = 0,
    exact: bool = False,
    rerank: int = 0,
    nprobe: int = 0,
    concepts: bool = False,
    allow_partial: bool = False,
) -> Steps[list[Hits]]:
    """search() for many: texts, or a matrix with one vector per row."""
    results: list[Hits] = []
    for chunk in _chunks([_query(query, None) for query in queries], MAX_QUERIES):
        request = pb.BatchSearchRequest(
            queries=chunk,
            k=k,
            recall_target=recall,
            exact=exact,
            rerank=rerank,
            nprobe=nprobe,
            include_concepts=concepts,
            allow_partial=allow_partial,
        )
        reply = yield from _ask(CONCEPTS + "BatchSearch", request, pb.BatchSearchResponse)
        results.extend(convert.from_hits(hits.hits, reply.settings, reply.shards_missing) for hits in reply.results)
    return results


def distances(pairs: Sequence[tuple[str, str]], *, approximate: bool = False) -> Steps[NDArray[np.float32]]:
    """1 − cosine of each pair of stored concepts, 0–2; NaN where one does not exist or has no vector."""
    rows: list[NDArray[np.float32]] = []
    for chunk in _chunks(pairs, MAX_ITEMS):
        request = pb.DistanceRequest(
            pairs=[pb.DistanceRequest.Pair(a=a, b=b) for a, b in chunk], approximate=approximate
        )
        reply = yield from _ask(CONCEPTS + "Distance", request, pb.DistanceResponse)
        row = np.array(reply.distances, dtype=np.float32)
        row[list(reply.missing)] = np.nan
        rows.append(row)
    return np.concatenate(rows) if rows else np.empty(0, dtype=np.float32)


def distance(a: str, b: str) -> Steps[float]:
    """1 − cosine of two stored concepts; NaN where one does not exist or has no vector."""
    return float((yield from distances([(a, b)]))[0])


def reinforce(id: str) -> Steps[Concept]:
    """Says that a concept was useful: it becomes stronger, and one access more is counted."""
    reply = yield from _ask(CONCEPTS + "Reinforce", pb.ReinforceRequest(id=id), pb.ReinforceResponse)
    return convert.from_concept(reply.concept)


def embed(texts: Sequence[str]) -> Steps[Matrix]:
    """The texts' vectors, one per row."""
    rows: list[Matrix] = [np.empty((0, 0), dtype=np.float32)] if not texts else []
    for chunk in _chunks(texts, MAX_QUERIES):
        request = embedding_pb.EmbedRequest(texts=chunk)
        reply = yield from _ask(EMBEDDINGS + "Embed", request, embedding_pb.EmbedResponse)
        rows.append(convert.to_matrix(reply.embeddings))
    return np.concatenate(rows)


def stats(*, allow_partial: bool = False) -> Steps[admin_pb.StatsResponse]:
    """Figures of the cluster and of each shard, as the contract has them."""
    return (yield from _ask(ADMIN + "Stats", admin_pb.StatsRequest(allow_partial=allow_partial), admin_pb.StatsResponse))


def limits() -> Steps[admin_pb.GetLimitsResponse]:
    """Every limit that a request can meet."""
    return (yield from _ask(ADMIN + "GetLimits", admin_pb.GetLimitsRequest(), admin_pb.GetLimitsResponse))

