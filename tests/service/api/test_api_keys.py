"""Laws of API keys: exact bytes, every wrong entry is refused by its place, and no message holds a key."""

import hmac

import pytest

from service.api.api_keys import ApiKeys
from service.api.key_entries import ApiKeysError, new_key, parse_lines, parse_list
from service.rates.allowance import UNLIMITED, Allowance

ENTRIES = parse_list("alice:s3cret:fx, bob : schlüssel,")
KEYS = ApiKeys(lambda: ENTRIES)


def name_of(keys: ApiKeys, presented: str | bytes | None) -> str | None:
    found = keys.find(presented)
    return None if found is None else found.name


def test_without_keys_none_is_required_and_none_is_found():
    assert not ApiKeys().is_required
    assert ApiKeys().find("s3cret") is None


@pytest.mark.parametrize(
    ("presented", "name"),
    [("s3cret:fx", "alice"), (b"s3cret:fx", "alice"), ("schlüssel", "bob"), ("schlüssel".encode(), "bob")],
)
def test_a_key_is_found_by_its_bytes(presented: str | bytes, name: str):
    assert KEYS.is_required
    assert name_of(KEYS, presented) == name


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
    entries = parse_lines("# who\r\n\r\nalice:a,b\n  # why\n bob: c \n")
    keys = ApiKeys(lambda: entries)
    assert [name_of(keys, key) for key in ("a,b", "c", "a")] == ["alice", "bob", None]


def test_a_new_key_is_admitted_by_its_entry_which_does_not_contain_it():
    key, entry = new_key("carol", ["requests=5"])
    entries = parse_list(entry)
    found = ApiKeys(lambda: entries).find(key)
    assert found is not None
    assert (found.name, found.allowance, key in entry) == ("carol", Allowance(requests=5), False)
    assert ApiKeys(lambda: entries).find(entry.partition(":")[2]) is None, "the hash is no key"


@pytest.mark.parametrize(
    ("limits", "allowance"),
    [
        ("", UNLIMITED),
        (" requests=600", Allowance(requests=600)),
        ("  characters=1000000 requests=1", Allowance(requests=1, characters=1_000_000)),
    ],
)
def test_limits_stand_behind_a_key(limits: str, allowance: Allowance):
    (key,) = parse_lines(f"alice:s3cret{limits}")
    assert key.allowance == allowance


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
        ("carol:s3cret requests=0", "entry 2 is not name:key"),
        ("carol:s3cret requests=many", "entry 2 is not name:key"),
        ("carol:s3cret requests=1 requests=2", "entry 2 has a limit twice"),
        ("carol:sha256:a7937b64b8caa58f03721bb6bacf5c78cb235febe0e70b1b84cd99541461a08e", "entry 2 has the key"),
        ("carol:sha256:s3cret", "entry 2 has sha256: without the 64"),
        ("carol:sha256:", "entry 2 has sha256: without the 64"),
        (f"carol:sha256:{'a7' * 31}a", "entry 2 has sha256: without the 64"),
        (f"carol:SHA256:{'a7' * 33}", "entry 2 has sha256: without the 64"),
        ("alice:s3cret", "entry 2 has the name"),
        ("carol:first", "entry 2 has the key"),
    ],
)
def test_a_wrong_entry_is_refused_by_its_place_without_its_key(entry: str, problem: str):
    with pytest.raises(ApiKeysError, match=f"^{problem}") as caught:
        parse_list(f"alice:first,{entry}")
    assert "cret" not in str(caught.value)


def test_a_wrong_line_is_named_by_its_number():
    for wrong in ("s3cret", "bob:sha256:s3cret"):
        with pytest.raises(ApiKeysError, match=r"^line 3 "):
            parse_lines(f"# comment\nalice:first\n{wrong}\n")


@pytest.mark.parametrize("text", ["", " ", " , ", "\n"])
def test_a_list_without_a_key_is_refused(text: str):
    with pytest.raises(ApiKeysError, match="no key"):
        parse_list(text)


def test_no_key_is_shown_by_its_holder():
    assert "s3cret" not in repr(KEYS) + str(vars(KEYS)) + repr(ENTRIES)


@pytest.mark.parametrize("presented", [None, "s3cret:fx", "schlüssel", "s3cret:fy", "alice"])
def test_every_key_is_compared_whatever_is_presented(presented: str | None, monkeypatch: pytest.MonkeyPatch):
    compared: list[bytes] = []
    monkeypatch.setattr(hmac, "compare_digest", lambda expected, given: compared.append(given) or expected == given)
    KEYS.find(presented)
    assert [len(digest) for digest in compared] == [32] * len(ENTRIES)
