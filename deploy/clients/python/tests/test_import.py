"""Imports: progress, refused items, and taking up again what broke."""

import pytest

import sutra
from conftest import token
from sutra._progress import line


def items(n):
    return [{"id": f"c{i}", "content": f"concept {i}"} for i in range(n)]


def stored(store):
    return {concept.id: concept for concept in store.concepts()}


def test_an_import_writes_everything_and_counts_what_is_refused(store):
    seen = []
    given = items(250)
    given[70] = {"id": "bad", "content": "x", "strength": 11}
    outcome = store.import_(given, batch=20, embed=False, progress=lambda o: seen.append(o.settled))
    assert (outcome.settled, outcome.written, outcome.refused_count) == (250, 249, 1)
    assert (outcome.refused[0].index, outcome.refused[0].id) == (70, "bad")
    assert "strength" in outcome.refused[0].error.field
    assert len(stored(store)) == 249
    assert seen[:3] == [20, 40, 60] and seen[-1] == 250


def test_an_import_embeds_unless_told_not_to(store):
    store.import_(["with a vector"], progress=False)
    store.import_(["without one"], embed=False, progress=False)
    assert sum(c.embedding is not None for c in store.concepts(embedding=True)) == 1


def test_an_import_survives_broken_connections(store, cable):
    broken = cable(20_000, 20_000)
    with sutra.connect(broken.address, token=token("writer")) as through:
        outcome = through.import_(items(3000), batch=50, embed=False, progress=False)
    assert not broken.cuts, "it was cut twice"
    assert outcome.resumed == 2
    assert outcome.written == 3000
    assert len(stored(store)) == 3000


def test_an_import_gives_up_when_nothing_comes_back(cable):
    dead = cable(*[1] * 100)
    with sutra.connect(dead.address, token=token("writer")) as through, pytest.raises(sutra.Unavailable):
        through.import_(items(10), embed=False, progress=False)


def test_an_interrupted_import_goes_on_where_it_was(store, tmp_path):
    state = tmp_path / "import.json"

    def interrupted():
        yield from items(100)
        raise OSError("the source failed")

    with pytest.raises(OSError, match="the source failed"):
        store.import_(interrupted(), batch=30, embed=False, progress=False, state=state)
    assert len(stored(store)) == 100, "what came before is written"
    outcome = store.import_(items(150), batch=30, embed=False, progress=False, state=state)
    assert (outcome.skipped, outcome.settled) == (100, 50)
    assert all(concept.version == 1 for concept in stored(store).values()), "none is written twice"
    assert not state.exists()


def test_a_foreign_file_is_no_state(store, tmp_path):
    state = tmp_path / "notes.txt"
    state.write_text("[1, 2]")
    with pytest.raises(ValueError, match="no state of an import"):
        store.import_(items(1), state=state)
    assert state.read_text() == "[1, 2]"


def test_an_import_that_may_not_write_says_so(store):
    with sutra.connect(token="no-such-token") as stranger:
        if token("writer"):
            with pytest.raises(sutra.Unauthenticated):
                stranger.import_(items(1), progress=False)
        else:
            assert stranger.import_(items(1), progress=False).written == 1


def test_a_bar_says_share_rate_and_what_is_left():
    outcome = sutra.Imported(settled=4000, skipped=300, refused_count=2, resumed=1)
    text = line(outcome, 10_000, 2)
    for part in (" 43%", "4,300 of 10,000", "2,000/s", "ETA 0:03", "2 refused", "resumed 1"):
        assert part in text, text
    assert line(outcome, None, 2).startswith("4,300  2,000/s")
