"""Named API keys that allow clients to use the server. Keys are kept as digests, and no message contains them."""

import hmac
import re
from collections.abc import Iterable, Mapping
from hashlib import sha256
from types import MappingProxyType

NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""The names of keys, which are safe to log."""


class ApiKeysError(Exception):
    """An entry that is not `name:key`. The message names its place only, since any part of it may be a key."""


class ApiKeys:
    def __init__(self, digests: Mapping[str, bytes] = MappingProxyType({})) -> None:
        """`digests` maps the name of each key to its SHA-256. If it is empty, no key is required."""
        self._digests = dict(digests)

    @property
    def is_required(self) -> bool:
        return bool(self._digests)

    def find(self, presented: bytes | str | None) -> str | None:
        """The name of this key, or None. Pass a header's value as the bytes that were sent, and a JSON value as a str.

        The time depends on the length of the key, not on whether the key is right, wrong or almost right.
        """
        digest = _digest(presented or b"")
        found = None
        for name, expected in self._digests.items():
            if hmac.compare_digest(expected, digest):
                found = name
        return found


def parse_list(text: str) -> ApiKeys:
    """Parse `name:key` entries separated by commas. Raises ApiKeysError."""
    return _parse((f"entry {number}", entry) for number, entry in enumerate(text.split(","), start=1))


def parse_lines(text: str) -> ApiKeys:
    """Parse one `name:key` a line; lines that begin with `#` are comments. Raises ApiKeysError."""
    lines = enumerate(text.splitlines(), start=1)
    return _parse((f"line {number}", line) for number, line in lines if not line.lstrip().startswith("#"))


def _parse(entries: Iterable[tuple[str, str]]) -> ApiKeys:
    """Parse pairs of a place and an entry. Blank entries are skipped. A key may contain colons, as DeepL's do."""
    digests: dict[str, bytes] = {}
    for place, entry in entries:
        if not entry.strip():
            continue
        name, _, key = (part.strip() for part in entry.partition(":"))
        if not NAME.fullmatch(name) or not _is_key(key):
            raise ApiKeysError(
                f"{place} is not name:key, with a name of 1 to 64 letters, digits, '.', '_' and '-' and a key without "
                "white space"
            )
        digest = _digest(key)
        if name in digests:
            raise ApiKeysError(f"{place} has the name of an earlier key")
        if digest in digests.values():
            raise ApiKeysError(f"{place} has the key of an earlier name")
        digests[name] = digest
    if not digests:
        raise ApiKeysError("there is no key in it")  # or a file emptied by mistake would open the server to everyone
    return ApiKeys(digests)


def _is_key(text: str) -> bool:
    return bool(text) and text.isprintable() and not any(map(str.isspace, text))


def _digest(key: bytes | str) -> bytes:
    """The SHA-256 of a key, equally long for all keys. Keys from JSON may contain lone surrogates."""
    return sha256(key.encode(errors="surrogatepass") if isinstance(key, str) else key).digest()
