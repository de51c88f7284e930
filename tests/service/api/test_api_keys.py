"""Laws of API keys: exact bytes, every wrong entry is refused by its place, and no message holds a key."""

import pytest

from service.api.api_keys import ApiKeys, ApiKeysError, parse_lines, parse_list

KEYS = parse_list("alice:s3cret:fx, bob : schlüssel,")


def test_without_keys_none_is_required_and_none_is_found():
    assert not ApiKeys().is_required
    assert ApiKeys().find("s3cret") is None


@pytest.mark.parametrize(
    ("presented", "name"),
    [("s3cret:fx", "alice"), (b"s3cret:fx", "alice"), ("schlüssel", "bob"), ("schlüssel".encode(), "bob")],
)
def test_a_key_is_found_by_its_bytes(presented: str | bytes, name: str):
    assert KEYS.is_required
    assert KEYS.find(presented) == name


@pytest.mark.parametrize(
    "presented",
    [None, "", b"", "s3cret", "S3CRET:fx", "s3cret:fx ", "alice:s3cret:fx", "alice", "schl\xfcssel".encode("latin-1")],
)
def test_anything_else_is_no_key(presented: str | bytes | None):
    assert KEYS.find(presented) is None


@pytest.mark.parametrize("presented", ["\ud800", "鍵", b"\xff\x00", "x" * 1_000_000])
def test_no_presented_key_is_an_error(presented: str | bytes):
    assert KEYS.find(presented) is None


def test_a_file_has_comments_blank_lines_and_keys_with_commas():
    keys = parse_lines("# who\r\n\r\nalice:a,b\n  # why\n bob: c \n")
    assert (keys.find("a,b"), keys.find("c"), keys.find("a")) == ("alice", "bob", None)


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("s3cret", "entry 2 is not name:key"),
        ("carol:", "entry 2 is not name:key"),
        (":s3cret", "entry 2 is not name:key"),
        ("car ol:s3cret", "entry 2 is not name:key"),
        ("carol:s3 cret", "entry 2 is not name:key"),
        ("carol:s3cret\x7f", "entry 2 is not name:key"),
        ("carol:s3cret\udcff", "entry 2 is not name:key"),
        ("alice:s3cret", "entry 2 has the name"),
        ("carol:first", "entry 2 has the key"),
    ],
)
def test_a_wrong_entry_is_refused_by_its_place_without_its_key(entry: str, problem: str):
    with pytest.raises(ApiKeysError, match=f"^{problem}") as caught:
        parse_list(f"alice:first,{entry}")
    assert "cret" not in str(caught.value)


def test_a_wrong_line_is_named_by_its_number():
    with pytest.raises(ApiKeysError, match=r"^line 3 "):
        parse_lines("# comment\nalice:first\ns3cret\n")


@pytest.mark.parametrize("text", ["", " ", " , ", "\n"])
def test_a_list_without_a_key_is_refused(text: str):
    with pytest.raises(ApiKeysError, match="no key"):
        parse_list(text)


def test_no_key_is_shown_by_its_holder():
    assert "s3cret" not in repr(KEYS) + str(vars(KEYS))
