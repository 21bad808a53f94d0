#!/usr/bin/env python3
"""Writes placement.tsv: which slot an id belongs to, by an implementation that shares no code with Sutra.

    python3 -m pip install xxhash==4.1.0
    tests/golden/make_placement.py > tests/golden/placement.tsv

The file never changes: an id that moved to another slot would be lost to every existing cluster. Columns: the id's
bytes in hex, XXH3_64 in hex, slot (hash mod 4096).
"""

import random

import xxhash

SLOT_COUNT = 4096


def ids():
    """One id per length (XXH3 has five code paths by length), some real ones, some beyond ASCII."""
    letters = random.Random(20240229)
    for length in range(1, 256):
        yield "".join(letters.choice("abcdefghijklmnopqrstuvwxyz0123456789:-_./") for _ in range(length))
    yield from (f"wn:{offset:08d}-{pos}" for pos in "nvasr" for offset in (1740, 2084442, 15300051))
    yield from ("a b", "A", "a", "é", "e\u0301", "日本語", "🔭", "\u200b", "tab\there", "'quoted'", '{"json": 1}')
    yield "界" * 85


def main():
    print("# id in hex, XXH3_64 in hex, slot; made by make_placement.py")
    for text in ids():
        data = text.encode()
        assert 1 <= len(data) <= 255
        value = xxhash.xxh3_64_intdigest(data)
        print(f"{data.hex()}\t{value:016x}\t{value % SLOT_COUNT}")


if __name__ == "__main__":
    main()
