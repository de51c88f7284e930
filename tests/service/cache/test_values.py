"""Law: a stored value is this very encoder output, or it is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.cache.values import (
    CHECKSUM,
    HEADER,
    MAGIC,
    OVERHEAD_BYTES,
    VERSION,
    DamagedValueError,
    OutputFormat,
    OutputKey,
    pack_value,
    unpack_value,
)

DIGEST = bytes(range(32))
FLOATS = OutputFormat("float32", d_model=4)
KEY = OutputKey(DIGEST, 3, FLOATS)
OUTPUT = bytes(range(100, 148))


@st.composite
def values(draw: st.DrawFn) -> tuple[OutputKey, bytes]:
    output_format = OutputFormat(draw(st.sampled_from(["float32", "bfloat16", "float16"])), draw(st.integers(1, 16)))
    key = OutputKey(draw(st.binary(min_size=32, max_size=32)), draw(st.integers(1, 8)), output_format)
    return key, draw(st.binary(min_size=key.num_bytes, max_size=key.num_bytes))


@given(values())
def test_a_value_is_unpacked_as_it_was_packed(pair: tuple[OutputKey, bytes]):
    key, output = pair
    assert unpack_value(key, pack_value(key, output)) == output


@given(values(), st.data())
def test_a_value_with_any_byte_changed_is_refused(pair: tuple[OutputKey, bytes], data: st.DataObject):
    key, output = pair
    value = bytearray(pack_value(key, output))
    value[data.draw(st.integers(0, len(value) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(DamagedValueError):
        unpack_value(key, bytes(value))


@given(values(), st.data())
def test_a_value_of_another_length_is_refused(pair: tuple[OutputKey, bytes], data: st.DataObject):
    key, output = pair
    value = pack_value(key, output)
    with pytest.raises(DamagedValueError):
        unpack_value(key, value[: data.draw(st.integers(0, len(value) - 1))])
    with pytest.raises(DamagedValueError, match="bytes of output"):
        unpack_value(key, value + b"\0")


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (OutputKey(DIGEST[::-1], 3, FLOATS), "checksum"),
        (OutputKey(DIGEST, 6, OutputFormat("float32", d_model=2)), r"shape \[3, 4\], not \[6, 2\]"),
        (OutputKey(DIGEST, 3, OutputFormat("bfloat16", d_model=4)), "dtype code 1, not that of bfloat16"),
    ],
)
def test_a_sound_value_of_another_output_is_refused(key: OutputKey, reason: str):
    with pytest.raises(DamagedValueError, match=reason):
        unpack_value(key, pack_value(KEY, OUTPUT))


def test_a_value_of_a_future_version_is_refused():
    header = HEADER.pack(MAGIC, VERSION + 1, 1, 3, 4)
    with pytest.raises(DamagedValueError, match="version 2, not 1"):
        unpack_value(KEY, header + CHECKSUM.pack(0) + OUTPUT)


def test_what_somebody_else_wrote_is_refused_without_being_repeated():
    with pytest.raises(DamagedValueError, match=r"^not an encoder output$"):
        unpack_value(KEY, b"secret" * 20)


def test_an_output_of_the_wrong_length_is_not_packed():
    with pytest.raises(ValueError, match="47 bytes, not 48"):
        pack_value(KEY, OUTPUT[1:])


def test_the_bytes_of_an_output_follow_from_its_shape_and_dtype():
    assert [OutputFormat(dtype, d_model=4).num_bytes(3) for dtype in ("float32", "bfloat16", "float16")] == [48, 24, 24]
    assert len(pack_value(KEY, OUTPUT)) == OVERHEAD_BYTES + 48
