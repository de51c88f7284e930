"""The text form of API keys: `NAME:KEY` or `NAME:sha256:HEX`, and limits a minute behind it.

alice:s3cret
bob:sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 requests=600 characters=1000000
"""

import re
import secrets
from collections.abc import Iterable

from service.api.api_keys import ApiKey, digest_of
from service.rates.allowance import Allowance

NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""The names of keys, which are safe to log."""
HASH_PREFIX = "sha256:"
HASH = re.compile(r"[0-9a-fA-F]{64}")
LIMIT = re.compile(r"(requests|characters)=([1-9][0-9]{0,14})")
NUM_KEY_BYTES = 32
FORM = (
    "is not name:key, with a name of 1 to 64 letters, digits, '.', '_' and '-' and a key without white space, perhaps "
    "followed by requests=N and characters=N"
)


class ApiKeysError(Exception):
    """Keys that cannot be read. The message names the place of an entry only, since any part of it may be a key."""


def parse_list(text: str) -> tuple[ApiKey, ...]:
    """Parse entries separated by commas. Raises ApiKeysError."""
    return _parse((f"entry {number}", entry) for number, entry in enumerate(text.split(","), start=1))


def parse_lines(text: str) -> tuple[ApiKey, ...]:
    """Parse one entry a line; lines that begin with `#` are comments. Raises ApiKeysError."""
    lines = enumerate(text.splitlines(), start=1)
    return _parse((f"line {number}", line) for number, line in lines if not line.lstrip().startswith("#"))


def new_key(name: str, limits: Iterable[str] = ()) -> tuple[str, str]:
    """A new random key, and the entry that admits it without containing it. Raises ApiKeysError."""
    key = secrets.token_hex(NUM_KEY_BYTES)
    entry = " ".join([f"{name}:sha256:{digest_of(key).hex()}", *limits])
    _parse_entry("the new entry", entry)
    return key, entry


def _parse(entries: Iterable[tuple[str, str]]) -> tuple[ApiKey, ...]:
    """Parse pairs of a place and an entry. Blank entries are skipped."""
    by_name: dict[str, ApiKey] = {}
    digests: set[bytes] = set()
    for place, entry in entries:
        if not entry.strip():
            continue
        key = _parse_entry(place, entry)
        if key.name in by_name:
            raise ApiKeysError(f"{place} has the name of an earlier key")
        if key.digest in digests:
            raise ApiKeysError(f"{place} has the key of an earlier name")
        by_name[key.name] = key
        digests.add(key.digest)
    if not by_name:
        raise ApiKeysError("there is no key in it")  # or a file emptied by mistake would open the server to everyone
    return tuple(by_name.values())


def _parse_entry(place: str, entry: str) -> ApiKey:
    """Parse one entry. A key may contain colons, as DeepL's do."""
    name, _, rest = (part.strip() for part in entry.partition(":"))
    key, *words = rest.split() or [""]
    limits = [LIMIT.fullmatch(word) for word in words]
    if not NAME.fullmatch(name) or not _is_key(key) or not all(limits):
        raise ApiKeysError(f"{place} {FORM}")
    given = {limit[1]: int(limit[2]) for limit in limits if limit is not None}
    if len(given) < len(limits):
        raise ApiKeysError(f"{place} has a limit twice")
    return ApiKey(name, _digest(place, key), Allowance(given.get("requests"), given.get("characters")))


def _digest(place: str, key: str) -> bytes:
    if not key.lower().startswith(HASH_PREFIX):
        return digest_of(key)
    digits = key[len(HASH_PREFIX) :]
    if not HASH.fullmatch(digits):  # a mistyped hash is not taken for a key
        raise ApiKeysError(f"{place} has {HASH_PREFIX} without the 64 hexadecimal digits of a hash behind it")
    return bytes.fromhex(digits)


def _is_key(text: str) -> bool:
    return bool(text) and text.isprintable()
