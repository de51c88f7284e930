"""The values stored in Redis: a fixed header, then the raw bytes of an encoder output, row by row.

The header, little-endian: magic, version, dtype, two zero bytes, tokens, d_model, and a CRC-32 over the key's digest,
the header so far and the output. It detects damaged values and values stored under another key.
"""

import zlib
from dataclasses import dataclass
from struct import Struct

from model.transformer.compute_types import EncoderDtype

MAGIC = b"KKEO"
VERSION = 1
HEADER = Struct("<4sBBxxII")
CHECKSUM = Struct("<I")
OVERHEAD_BYTES = HEADER.size + CHECKSUM.size

DTYPE_CODES: dict[EncoderDtype, int] = {"float32": 1, "bfloat16": 2, "float16": 3}
ITEM_BYTES: dict[EncoderDtype, int] = {"float32": 4, "bfloat16": 2, "float16": 2}


class DamagedValueError(Exception):
    """A stored value is not the encoder output of its key. The message has the reason and nothing of the content."""


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """The format of all encoder outputs of a checkpoint."""

    dtype: EncoderDtype
    d_model: int

    def num_bytes(self, num_tokens: int) -> int:
        return num_tokens * self.d_model * ITEM_BYTES[self.dtype]


@dataclass(frozen=True, slots=True)
class OutputKey:
    """The key of one encoder output of shape [num_tokens, d_model].

    `digest` is a 32-byte hash of everything the output depends on.
    """

    digest: bytes
    num_tokens: int
    output_format: OutputFormat

    @property
    def num_bytes(self) -> int:
        return self.output_format.num_bytes(self.num_tokens)


def pack_value(key: OutputKey, output: bytes) -> bytes:
    """Raises ValueError if the length of `output` does not match its key."""
    if len(output) != key.num_bytes:
        raise ValueError(f"an encoder output of {len(output)} bytes, not {key.num_bytes}")
    output_format = key.output_format
    code = DTYPE_CODES[output_format.dtype]
    header = HEADER.pack(MAGIC, VERSION, code, key.num_tokens, output_format.d_model)
    return b"".join((header, CHECKSUM.pack(_checksum(key.digest, header, output)), output))


def unpack_value(key: OutputKey, value: bytes) -> bytes:
    """Raises DamagedValueError unless `value` is the output of this key."""
    if len(value) < OVERHEAD_BYTES:
        raise DamagedValueError(f"{len(value)} bytes, shorter than a header")
    magic, version, code, num_tokens, d_model = HEADER.unpack_from(value)
    if magic != MAGIC:
        raise DamagedValueError("not an encoder output")
    if version != VERSION:
        raise DamagedValueError(f"version {version}, not {VERSION}")
    if code != DTYPE_CODES[key.output_format.dtype]:
        raise DamagedValueError(f"dtype code {code}, not that of {key.output_format.dtype}")
    if (num_tokens, d_model) != (shape := (key.num_tokens, key.output_format.d_model)):
        raise DamagedValueError(f"shape {[num_tokens, d_model]}, not {list(shape)}")
    if (num_bytes := len(value) - OVERHEAD_BYTES) != key.num_bytes:
        raise DamagedValueError(f"{num_bytes} bytes of output, not {key.num_bytes}")
    stored = memoryview(value)
    (checksum,) = CHECKSUM.unpack_from(value, HEADER.size)
    if _checksum(key.digest, stored[: HEADER.size], stored[OVERHEAD_BYTES:]) != checksum:
        raise DamagedValueError("the checksum does not match")
    return value[OVERHEAD_BYTES:]


def _checksum(digest: bytes, header: bytes | memoryview, output: bytes | memoryview) -> int:
    return zlib.crc32(output, zlib.crc32(header, zlib.crc32(digest)))
