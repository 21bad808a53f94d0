#!/usr/bin/env python3
"""
Learns a few hundred definitions from WordNet, searches them, and draws what the store makes of them.

Like a notebook: each part below, from one "# %%" to the next, is a cell. Finds the cluster by the environment:

    deploy/cluster -- deploy/clients/python/run python deploy/clients/python/examples/corpus.py --plot corpus.png
"""

# %% What is needed
import argparse
from collections.abc import Iterator
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray

import sutra

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

arguments = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
arguments.add_argument("--wordnet", type=Path, default=Path("/usr/share/wordnet"))
arguments.add_argument("--plot", type=Path, default=Path("corpus.png"))
options = arguments.parse_args()

# %% A corpus: nouns of five kinds, as WordNet files them
KINDS = {5: "animal", 13: "food", 18: "person", 19: "phenomenon", 28: "time"}
PER_KIND = 80


def nouns() -> Iterator[sutra.Item]:
    """Every 13th noun of each kind: its word, and its definition without examples."""
    seen = dict.fromkeys(KINDS, 0)
    for line in (options.wordnet / "data.noun").read_text().splitlines():
        if line.startswith("  "):
            continue  # the licence
        fields, _, gloss = line.partition(" | ")
        offset, kind, _, _, word = fields.split()[:5]
        if int(kind) not in KINDS:
            continue
        seen[int(kind)] += 1
        if seen[int(kind)] % 13 == 0 and seen[int(kind)] <= 13 * PER_KIND:
            name = word.replace("_", " ")
            yield sutra.Item(f"{name}: {gloss.split('; ')[0]}", id=f"n{offset}", source="WordNet", category=KINDS[int(kind)])


# %% Learn it; the server embeds the texts
items = list(nouns())
with sutra.connect() as store:
    outcome = store.import_(items, batch=100)
    print(f"learned {outcome.written} concepts")

    # %% Ask it
    questions = [
        "a small furry creature",
        "something sweet to eat",
        "someone who breaks the law",
        "bad weather",
        "part of a year",
    ]
    answers = store.search_many(questions, k=3, concepts=True)
    for question, hits in zip(questions, answers):
        print(f"\n{question}")
        for hit in hits:
            assert hit.concept is not None
            print(f"  {hit.score:.3f}  {hit.concept.category:10}  {hit.concept.content}"[:110])

    # %% All vectors at once, as one matrix
    columns = store.get_columns([item.id for item in items], embedding=True)
    asked = store.embed(questions)

assert columns.embedding is not None
print(f"\n{len(columns)} concepts as a matrix of {columns.embedding.shape}, {columns.embedding.dtype}")


# %% Two directions in which they differ most
def plane(rows: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    centre = rows.mean(axis=0)
    _, _, axes = np.linalg.svd(rows - centre, full_matrices=False)
    return centre, axes[:2].T


centre, axes = plane(columns.embedding)
points, marks = (columns.embedding - centre) @ axes, (asked - centre) @ axes

# %% Draw it
figure, (left, right) = plt.subplots(1, 2, figsize=(13, 5.5), width_ratios=(1.5, 1), layout="constrained")
kinds = np.array(columns.categories)
for kind in KINDS.values():
    left.scatter(*points[kinds == kind].T, s=14, alpha=0.75, label=kind)
left.scatter(*marks.T, marker="*", s=150, color="black", zorder=3, label="question")
for question, (x, y) in zip(questions, marks):
    side = "right" if x > points[:, 0].mean() else "left"
    left.annotate(question, (x, y), textcoords="offset points", xytext=(0, 9), ha=side, fontsize=9, weight="bold")
left.set(title=f"{len(columns)} definitions of WordNet, by meaning", xticks=[], yticks=[])
left.legend(fontsize=9)

# How alike the kinds are: mean cosine between their members.
order = np.argsort(kinds, kind="stable")
names = sorted(KINDS.values())
cosines = columns.embedding @ columns.embedding.T
table = np.array([[cosines[np.ix_(kinds == a, kinds == b)].mean() for b in names] for a in names])
right.imshow(table, cmap="viridis")
right.set_xticks(range(len(names)), names, rotation=30, ha="right")
right.set_yticks(range(len(names)), names)
for i, row in enumerate(table):
    for j, value in enumerate(row):
        right.text(j, i, f"{value:.2f}", ha="center", va="center", color="white" if value < table.max() * 0.7 else "black")
right.set(title="Mean cosine between kinds")
figure.savefig(options.plot, dpi=110)
print(f"drawn into {options.plot}")
