"""What the configurations in bench/ghz/*.json send, of a store filled with WordNet."""

import itertools

from bench.ghz import configurations
from bench.rpc import requests
from bench.vector.data import wordnet


def write(built, ids):
    """@ids of what is stored."""
    configurations.write([id.decode() for id in ids], [row.astype("<f4").tobytes() for row in wordnet(built).queries])


def first(path, concepts, batch, into):
    """The requests of @path up to so many concepts."""
    return requests.write(into, [bytes(each) for each in itertools.islice(requests.read(path), concepts // batch)])
