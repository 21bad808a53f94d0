"""What a user of the package sees, on a real cluster."""

import os
import time
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest

import sutra
from conftest import token

TEXTS = {
    "tides": "Tides are caused by the gravity of the moon and the sun.",
    "moon": "The moon circles the Earth once in about 27 days.",
    "bread": "Bread is baked from flour, water, salt and yeast.",
    "cat": "Cats purr when they are content.",
}
DIMENSION = 384


def vectors(n, seed=1):
    rows = np.random.default_rng(seed).standard_normal((n, DIMENSION))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def learn_texts(store):
    return store.learn_many({"id": id, "content": text} for id, text in TEXTS.items())


def test_what_is_learned_can_be_got(store):
    written = store.learn(TEXTS["tides"], id="tides", strength=2.5, attributes={"言語": "日本語"}, source="a test")
    assert written == sutra.Written("tides", 1, True)
    tides = store.get("tides")
    assert (tides.content, tides.strength, tides.confidence) == (TEXTS["tides"], 2.5, 1)
    assert (dict(tides.attributes), tides.source, tides.version) == ({"言語": "日本語"}, "a test", 1)
    assert abs(tides.created - datetime.now(timezone.utc)) < timedelta(minutes=10)
    assert tides.last_accessed is None
    assert tides.embedding is None


def test_vectors_are_arrays_of_float32_both_ways(store):
    given = vectors(1)[0]
    store.put(sutra.Item("a vector", id="v", embedding=given.astype(np.float64)))
    got = store.get("v", embedding=True).embedding
    assert (got.dtype, got.shape) == (np.float32, (DIMENSION,))
    assert got @ given == pytest.approx(1, abs=1e-3)
    assert store.embed(["one", "two"]).shape == (2, DIMENSION)
    assert np.linalg.norm(store.embed(["one"])[0]) == pytest.approx(1, abs=1e-5)


def test_an_array_of_the_wrong_shape_is_refused_before_it_is_sent(store):
    with pytest.raises(ValueError, match="2, 384"):
        store.search(vectors(2))


def test_search_by_text_by_vector_and_by_id(store):
    learn_texts(store)
    by_text = store.search("why does the sea rise and fall", k=2)
    assert by_text.ids[0] == "tides"
    assert by_text[0].concept.content == TEXTS["tides"]
    assert by_text[0].score > by_text[1].score
    by_vector = store.search(store.embed(["why does the sea rise and fall"])[0], k=2, concepts=False)
    np.testing.assert_allclose(by_vector.scores, by_text.scores, atol=1e-5)
    assert by_vector[0].concept is None
    assert store.search(id="tides", k=1).ids == ["moon"]
    with pytest.raises(ValueError, match="a text, a vector or id"):
        store.search()


def test_search_many_takes_a_matrix_with_a_query_per_row(store):
    matrix = vectors(1100)
    store.learn_many({"id": f"v{i:04}", "content": str(i), "embedding": row} for i, row in enumerate(matrix))
    hits = store.search_many(matrix, k=1)
    assert [one.ids for one in hits] == [[f"v{i:04}"] for i in range(len(matrix))]
    assert store.search_many(["tides"], k=3)[0].scores.shape == (3,)


def test_many_are_got_in_order_with_none_for_what_is_missing(store):
    learn_texts(store)
    assert [c and c.id for c in store.get_many(["moon", "nothing", "cat", "moon"])] == ["moon", None, "cat", "moon"]
    assert store.get_many([]) == []


def test_columns_hold_what_concepts_hold(store):
    store.put(sutra.Item("no vector", id="bare"))
    store.put(sutra.Item("rich", id="rich", embedding=vectors(1)[0], strength=3, category="noun", attributes={"a": "b", "c": ""}))
    ids = ["rich", "nothing", "bare"]
    columns = store.get_columns(ids, embedding=True)
    rich, _, bare = store.get_many(ids, embedding=True)
    assert columns.missing == ["nothing"]
    assert (columns.ids, columns.contents, columns.categories) == (["rich", "bare"], ["rich", "no vector"], ["noun", ""])
    assert columns.attributes == [dict(rich.attributes), {}]
    assert columns.strength.tolist() == [3, 1]
    assert columns.created_us.tolist() == [rich.created_us, bare.created_us]
    np.testing.assert_array_equal(columns.embedding[0], rich.embedding)
    assert columns.without_embedding.tolist() == [1]


def test_associations_are_followed_both_ways(store):
    learn_texts(store)
    store.associate("moon", "tides", "causal", "raises", weight=2)
    (out,) = store.neighbors("moon", "out")
    assert (out.source, out.target, out.type, out.label, out.weight) == ("moon", "tides", "causal", "raises", 2)
    until = time.monotonic() + 10
    while not (back := store.neighbors("tides", "in", types=["causal"])) and time.monotonic() < until:
        time.sleep(0.02)
    assert [one.source for one in back] == ["moon"]
    assert store.dissociate("moon", "tides", "causal", "raises")
    assert not store.dissociate("moon", "tides", "causal", "raises")
    with pytest.raises(ValueError, match="no association type 'sideways': semantic"):
        store.neighbors("moon", types=["sideways"])


def test_neighbors_are_read_to_the_end_or_to_the_limit(store):
    store.learn("hub", id="hub", associations=[sutra.Association(f"t{i}") for i in range(30)])
    assert len(store.neighbors("hub", "out")) == 30
    assert len(store.neighbors("hub", "out", limit=7)) == 7


def test_distances_are_an_array_with_nan_for_what_is_missing(store):
    learn_texts(store)
    row = store.distances([("cat", "cat"), ("tides", "moon"), ("cat", "nothing")])
    assert row.dtype == np.float32
    assert row[0] == pytest.approx(0, abs=1e-4)
    assert 0 < row[1] < 1
    assert np.isnan(row[2])
    assert store.distance("tides", "moon") == row[1]
    assert len(store.distances([])) == 0


def test_a_failure_is_an_exception_with_fields(store):
    with pytest.raises(sutra.InvalidArgument) as refused:
        store.learn("text", id="x" * 256)
    assert refused.value.field == "concept.id"
    assert "limit is 255" in refused.value.violations[0].description
    assert "INVALID_ARGUMENT" in str(refused.value)
    with pytest.raises(sutra.NotFound):
        store.get("nothing")
    with pytest.raises(sutra.Aborted) as aborted:
        store.learn("text", id="x", if_version=3)
    assert aborted.value.reason == "VERSION_MISMATCH"


def test_a_batch_writes_what_is_right_and_raises_for_the_rest(store):
    with pytest.raises(sutra.ItemsRefused, match="1 of 3 items") as refused:
        store.learn_many(["one", sutra.Item("two", id="two", strength=11), {"content": "three", "id": "three"}])
    assert [bool(result.error) for result in refused.value.results] == [False, True, False]
    assert isinstance(refused.value.refused[0].error, sutra.InvalidArgument)
    assert "strength" in refused.value.refused[0].error.field
    assert store.get("three").content == "three"


def test_reinforce_and_delete(store):
    store.learn("useful", id="u")
    assert store.reinforce("u").strength == pytest.approx(1.02)
    assert store.delete("u")
    assert not store.delete("u")


def test_a_deadline_is_kept():
    with sutra.connect(token=token("reader"), timeout=0.05) as store:
        with pytest.raises(sutra.DeadlineExceeded):
            store.embed(["the sea rises and falls " * 60] * 128)


def test_nobody_there_is_unavailable():
    with sutra.connect("localhost:1", timeout=10) as store:
        with pytest.raises(sutra.Unavailable):
            store.get("x")


def test_a_token_is_not_sent_in_plaintext(monkeypatch):
    monkeypatch.delenv("SUTRA_TLS_CA", raising=False)
    with pytest.raises(ValueError, match="in plaintext"):
        sutra.connect("store.example:7400", token="secret")


@pytest.mark.skipif("SUTRA_TOKEN_FOLDER" not in os.environ, reason="the cluster asks for no tokens")
def test_tokens_decide():
    with sutra.connect(token="no-such-token") as store, pytest.raises(sutra.Unauthenticated):
        store.get("x")
    with sutra.connect(token=token("reader")) as store, pytest.raises(sutra.PermissionDenied):
        store.learn("not by a reader")
