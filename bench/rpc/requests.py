"""Requests in protobuf's wire form, in the files that bench/load sends: each behind its size."""

import random
import struct

IDS = 1  # BatchGetRequest.ids, GetRequest.id
COLUMNS = 4  # BatchGetRequest.columns


def _varint(number):
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(encoded) + bytes([number])


def number(field_number, value):
    """A varint field."""
    return _varint(field_number << 3) + _varint(value)


def float32(field_number, value):
    return _varint(field_number << 3 | 5) + struct.pack("<f", value)


def field(number, data):
    """A length-delimited field."""
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def write(path, messages):
    with open(path, "wb") as file:
        for message in messages:
            file.write(struct.pack("<I", len(message)) + message)
    return path


def read(path):
    """The messages of such a file."""
    data, at = memoryview(path.read_bytes()), 0
    while at < len(data):
        size = struct.unpack_from("<I", data, at)[0]
        yield data[at + 4 : at + 4 + size]
        at += 4 + size


def fields(message):
    """(number, bytes) of the length-delimited fields of a message."""
    at = 0
    while at < len(message):
        tag, at = _read_varint(message, at)
        if tag & 7 == 2:
            size, at = _read_varint(message, at)
            yield tag >> 3, message[at : at + size]
            at += size
        elif tag & 7 == 0:
            at = _read_varint(message, at)[1]
        else:
            at += 4 if tag & 7 == 5 else 8


def _read_varint(message, at):
    value, shift = 0, 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7


def batches(path, ids, size, count, columns=False):
    """@count BatchGetRequests of @size different random ones of @ids each."""
    rng = random.Random(size)
    option = number(COLUMNS, 1) if columns else b""
    return write(path, [b"".join(field(IDS, id) for id in rng.sample(ids, size)) + option for _ in range(count)])


def pairs(path, ids, size, count, approximate):
    """@count DistanceRequests of @size random pairs each."""
    rng = random.Random(size)
    option = b"\x10\x01" if approximate else b""
    return write(path, [b"".join(_pair(*rng.sample(ids, 2)) for _ in range(size)) + option for _ in range(count)])


def _pair(a, b):
    return field(1, field(1, a) + field(2, b))


def query(vector):
    """SearchRequest.query, or one of BatchSearchRequest.queries."""
    return field(1, field(1, field(2, vector.astype("<f4").tobytes())))


def singles(path, ids):
    """A GetRequest for each."""
    return write(path, [field(IDS, id) for id in ids])
