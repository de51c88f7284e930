"""What Redis holds for a key: a fixed header, then the encoder output's raw bytes, row after row.

The header, little-endian: magic, version, dtype, two zero bytes, tokens, d_model, and the CRC-32 of the key, all of the
header before it, and the output. So a damaged value is noticed, and so is a sound one that lies under another key.
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
    """A stored value that is not the encoder output it should be; the message says why, and nothing of its content."""


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """What a model's encoder outputs have in common."""

    dtype: EncoderDtype
    d_model: int

    def num_bytes(self, num_tokens: int) -> int:
        return num_tokens * self.d_model * ITEM_BYTES[self.dtype]


@dataclass(frozen=True, slots=True)
class Wanted:
    """One encoder output, of shape [num_tokens, d_model], by the 32-byte digest of all that it depends on."""

    key: bytes
    num_tokens: int
    output_format: OutputFormat

    @property
    def num_bytes(self) -> int:
        return self.output_format.num_bytes(self.num_tokens)


def pack_value(wanted: Wanted, output: bytes) -> bytes:
    """Raises ValueError where `output` is not as long as it should be."""
    if len(output) != wanted.num_bytes:
        raise ValueError(f"an encoder output of {len(output)} bytes, not {wanted.num_bytes}")
    output_format = wanted.output_format
    code = DTYPE_CODES[output_format.dtype]
    header = HEADER.pack(MAGIC, VERSION, code, wanted.num_tokens, output_format.d_model)
    return b"".join((header, CHECKSUM.pack(_checksum(wanted.key, header, output)), output))


def unpack_value(wanted: Wanted, value: bytes) -> bytes:
    """The encoder output. Raises DamagedValueError where `value` is anything but this output."""
    if len(value) < OVERHEAD_BYTES:
        raise DamagedValueError(f"{len(value)} bytes, shorter than a header")
    magic, version, code, num_tokens, d_model = HEADER.unpack_from(value)
    if magic != MAGIC:
        raise DamagedValueError("not an encoder output")
    if version != VERSION:
        raise DamagedValueError(f"version {version}, not {VERSION}")
    if code != DTYPE_CODES[wanted.output_format.dtype]:
        raise DamagedValueError(f"dtype code {code}, not that of {wanted.output_format.dtype}")
    if (num_tokens, d_model) != (shape := (wanted.num_tokens, wanted.output_format.d_model)):
        raise DamagedValueError(f"shape {[num_tokens, d_model]}, not {list(shape)}")
    if (num_bytes := len(value) - OVERHEAD_BYTES) != wanted.num_bytes:
        raise DamagedValueError(f"{num_bytes} bytes of output, not {wanted.num_bytes}")
    stored = memoryview(value)
    (checksum,) = CHECKSUM.unpack_from(value, HEADER.size)
    if _checksum(wanted.key, stored[: HEADER.size], stored[OVERHEAD_BYTES:]) != checksum:
        raise DamagedValueError("the checksum does not match")
    return value[OVERHEAD_BYTES:]


def _checksum(key: bytes, header: bytes | memoryview, output: bytes | memoryview) -> int:
    return zlib.crc32(output, zlib.crc32(header, zlib.crc32(key)))
