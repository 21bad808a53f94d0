"""Learns three texts and asks a question."""

import sutra

TEXTS = [
    "Tides are caused by the gravity of the moon.",
    "Bread is baked from flour, water, salt and yeast.",
    "A guitar has six strings that are plucked or strummed.",
]
QUESTION = "why does the sea rise and fall"

with sutra.connect() as store:
    for text in TEXTS:
        written = store.learn(text)
        print("learned" if written.created else "knew", written.id)
    print(f"{QUESTION}?")
    for hit in store.search(QUESTION, k=2):
        assert hit.concept is not None
        print(f"  {hit.score:.3f}  {hit.concept.content}")
