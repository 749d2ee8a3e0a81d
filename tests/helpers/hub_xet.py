"""The uploading half of the Xet protocol: chunks come in xorbs, and shards tell how files are made of them."""

from __future__ import annotations

import hashlib
import struct
from itertools import pairwise

_TAG_SIZE = 32
_ENTRY = 48
_LAST = b"\xff" * 32
_HAS_VERIFICATION, _HAS_METADATA = 1 << 31, 1 << 30
_STORED, _LZ4, _GROUPED_LZ4 = 0, 1, 2
_FOOTER = b"XETBLOB"


class XetError(Exception):
    """A xorb or shard that cannot be read, or whose files are not what it says."""


class XetStorage:
    """
    Chunks by xorb, and whole files by SHA-256.

    Hashes of chunks are not checked; that each file has the SHA-256 that its shard tells is.
    """

    def __init__(self) -> None:
        self.xorbs: dict[str, list[bytes]] = {}
        self.files: dict[str, bytes] = {}

    def add_xorb(self, name: str, body: bytes) -> bool:
        """:return: whether it is new"""
        new = name not in self.xorbs
        self.xorbs[name] = _chunks(body)
        return new

    def add_shard(self, body: bytes) -> None:
        """Put together the files that a shard describes."""
        offset = _TAG_SIZE + 16
        while body[offset : offset + 32] not in (_LAST, b""):
            flags, count = struct.unpack_from("<II", body, offset + 32)
            offset += _ENTRY
            content = b""
            for number in range(count):
                at = offset + number * _ENTRY
                _, size, start, end = struct.unpack_from("<IIII", body, at + 32)
                piece = b"".join(self._xorb(body[at : at + 32])[start:end])
                if len(piece) != size:
                    raise XetError(f"a segment has {len(piece)} bytes, not {size}")
                content += piece
            offset += count * _ENTRY * (2 if flags & _HAS_VERIFICATION else 1)
            if flags & _HAS_METADATA:
                told = _hex(body[offset : offset + 32])
                if hashlib.sha256(content).hexdigest() != told:
                    raise XetError(f"the file that should have SHA-256 {told} has another")
                offset += _ENTRY
            self.files[hashlib.sha256(content).hexdigest()] = content

    def _xorb(self, raw: bytes) -> list[bytes]:
        name = _hex(raw)
        if name not in self.xorbs:
            raise XetError(f"there is no xorb {name}")
        return self.xorbs[name]


def _hex(raw: bytes) -> str:
    """A hash as text: four little-endian numbers of 64 bits."""
    return "".join(f"{number:016x}" for number in struct.unpack("<4Q", raw))


def _chunks(body: bytes) -> list[bytes]:
    """The chunks of a xorb; what follows them is a footer."""
    found, offset = [], 0
    while offset + 8 <= len(body) and body[offset : offset + len(_FOOTER)] != _FOOTER:
        packed = int.from_bytes(body[offset + 1 : offset + 4], "little")
        scheme = body[offset + 4]
        size = int.from_bytes(body[offset + 5 : offset + 8], "little")
        chunk = _unpacked(scheme, body[offset + 8 : offset + 8 + packed])
        if len(chunk) != size:
            raise XetError(f"a chunk has {len(chunk)} bytes, not {size}")
        found.append(chunk)
        offset += 8 + packed
    return found


def _unpacked(scheme: int, data: bytes) -> bytes:
    if scheme == _STORED:
        return data
    if scheme == _LZ4:
        return _lz4_frame(data)
    if scheme == _GROUPED_LZ4:
        return _ungrouped(_lz4_frame(data))
    raise XetError(f"unknown compression {scheme}")


def _ungrouped(data: bytes) -> bytes:
    """Undo the grouping of every fourth byte."""
    result = bytearray(len(data))
    sizes = [len(range(first, len(data), 4)) for first in range(4)]
    ends = [sum(sizes[:count]) for count in range(5)]
    for first, (start, end) in enumerate(pairwise(ends)):
        result[first::4] = data[start:end]
    return bytes(result)


def _lz4_frame(data: bytes) -> bytes:
    """Decompress one LZ4 frame."""
    if data[:4] != b"\x04\x22\x4d\x18":
        raise XetError("no LZ4 frame")
    flags = data[4]
    offset = 7 + (8 if flags & 0x08 else 0) + (4 if flags & 0x01 else 0)
    result = bytearray()
    while size := int.from_bytes(data[offset : offset + 4], "little"):
        block = data[offset + 4 : offset + 4 + (size & 0x7FFFFFFF)]
        if size & 0x80000000:
            result += block
        else:
            _lz4_block(block, result)
        offset += 4 + len(block) + (4 if flags & 0x10 else 0)
    return bytes(result)


def _lz4_block(block: bytes, result: bytearray) -> None:
    """Append what one LZ4 block holds."""
    offset = 0
    while offset < len(block):
        token = block[offset]
        length, offset = _lz4_length(block, offset + 1, token >> 4)
        result += block[offset : offset + length]
        offset += length
        if offset >= len(block):
            return
        distance = int.from_bytes(block[offset : offset + 2], "little")
        length, offset = _lz4_length(block, offset + 2, token & 15)
        length += 4
        while length > 0:
            start = len(result) - distance
            piece = result[start : start + length]
            result += piece
            length -= len(piece)


def _lz4_length(block: bytes, offset: int, length: int) -> tuple[int, int]:
    if length == 15:
        while True:
            extra = block[offset]
            offset += 1
            length += extra
            if extra != 255:
                break
    return length, offset
