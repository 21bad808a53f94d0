"""All of WordNet as requests: what the servers that are measured are filled with."""

import subprocess

from bench.vector.data import CACHE, WORDNET, wordnet


def wordnet_requests(built, folder, *options, batch=256):
    """A file of LearnBatchRequests with all synsets and their vectors, and the synsets' ids; they are ImportRequests, too."""
    vectors = CACHE / "wordnet.f32"
    if not vectors.exists():
        wordnet(built)
    learn, ids = folder / "learn", folder / "ids"
    subprocess.run([f"{built}/bench/wordnet_requests", *options, WORDNET, vectors, learn, ids, str(batch)], check=True)
    return learn, ids.read_bytes().split()
