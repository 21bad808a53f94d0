"""Requests in protobuf's wire form, in the files that bench/load sends: each behind its size."""

import random
import struct

IDS = 1  # BatchGetRequest.ids, GetRequest.id


def _varint(number):
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(encoded) + bytes([number])


def field(number, data):
    """A length-delimited field."""
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def write(path, messages):
    with open(path, "wb") as file:
        for message in messages:
            file.write(struct.pack("<I", len(message)) + message)
    return path


def batches(path, ids, size, count):
    """@count BatchGetRequests of @size different random ones of @ids each."""
    rng = random.Random(size)
    return write(path, [b"".join(field(IDS, id) for id in rng.sample(ids, size)) for _ in range(count)])


def pairs(path, ids, size, count, approximate):
    """@count DistanceRequests of @size random pairs each."""
    rng = random.Random(size)
    option = b"\x10\x01" if approximate else b""
    return write(path, [b"".join(_pair(*rng.sample(ids, 2)) for _ in range(size)) + option for _ in range(count)])


def _pair(a, b):
    return field(1, field(1, a) + field(2, b))


def singles(path, ids):
    """A GetRequest for each."""
    return write(path, [field(IDS, id) for id in ids])
