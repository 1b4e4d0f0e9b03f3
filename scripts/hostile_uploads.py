"""Files that someone may throw at an upload field: `check_demo.py` and the tests use them."""

import functools
import struct
import zlib

PNG_START = b"\x89PNG\r\n\x1a\n"
SCRIPT = "<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"


def chunk(kind: bytes, data: bytes, *, length: int | None = None) -> bytes:
    """A PNG chunk; ``length`` is what it claims to hold, if that is not the truth."""
    claimed = len(data) if length is None else length
    return struct.pack(">I", claimed) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def header(width: int, height: int) -> bytes:
    """Start of an 8-bit RGB PNG."""
    return PNG_START + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))


def zip_bomb(side: int = 12_000) -> bytes:
    """A real PNG of ``side`` x ``side`` black pixels: 432 MB decoded, 0.4 MB as a file."""
    packer, parts = zlib.compressobj(9), []
    row = bytes(1 + 3 * side)
    for _ in range(side):
        parts.append(packer.compress(row))
    parts.append(packer.flush())
    return header(side, side) + chunk(b"IDAT", b"".join(parts)) + chunk(b"IEND", b"")


def hidden_bomb(inflated: int = 100_000_000) -> bytes:
    """A PNG that says 64 x 64 and whose data inflate to ``inflated`` bytes."""
    packer, parts = zlib.compressobj(9), []
    block = bytes(10_000_000)
    for _ in range(inflated // len(block)):
        parts.append(packer.compress(block))
    parts.append(packer.flush())
    return header(64, 64) + chunk(b"IDAT", b"".join(parts)) + chunk(b"IEND", b"")


def text_bomb(inflated: int = 100_000_000) -> bytes:
    """A small PNG with a compressed comment that inflates to ``inflated`` bytes."""
    packer, parts = zlib.compressobj(9), [b"Comment\0\0"]
    block = b"a" * 10_000_000
    for _ in range(inflated // len(block)):
        parts.append(packer.compress(block))
    parts.append(packer.flush())
    pixels = zlib.compress(bytes(64 * (1 + 3 * 64)))
    body = chunk(b"zTXt", b"".join(parts)) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return header(64, 64) + body


def gigabyte_header() -> bytes:
    """A PNG whose first chunk after the header claims to hold 1 GB."""
    return header(64, 64) + chunk(b"iCCP", b"x" * 64, length=2**30)


def gigapixel_header() -> bytes:
    """A PNG that claims 32,768 x 32,768 pixels and holds none."""
    return header(32_768, 32_768) + chunk(b"IEND", b"")


@functools.cache
def hostile_files() -> dict[str, bytes]:
    """File names and contents."""
    return {
        "zip_bomb.png": zip_bomb(),
        "hidden_bomb.png": hidden_bomb(),
        "text_bomb.png": text_bomb(),
        "gigabyte_header.png": gigabyte_header(),
        "gigapixel_header.png": gigapixel_header(),
        "script.svg": SCRIPT.encode(),
        "script.png": SCRIPT.encode(),
        "text.jpg": b"this is a text and no picture\n" * 40,
        "empty.png": b"",
        "truncated.jpg": b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(40),
    }
