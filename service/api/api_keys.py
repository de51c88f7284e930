"""Named API keys that allow clients to use the server. Keys are kept as digests, and no message contains them."""

import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from service.rates.allowance import UNLIMITED, Allowance


@dataclass(frozen=True, slots=True)
class ApiKey:
    """`digest` is the SHA-256 of the key.

    A plain hash is enough for keys that are long and random: nobody can try 2^256 of them. A slow hash, made for
    passwords, would only add work that an attacker can cause with every request.
    """

    name: str
    digest: bytes = field(repr=False)
    allowance: Allowance = UNLIMITED


class ApiKeys:
    def __init__(self, read: Callable[[], Sequence[ApiKey]] = tuple) -> None:
        """`read` returns the keys that are valid now. If there are none at the start, no key is ever required."""
        self._read = read
        self.is_required = bool(read())

    def find(self, presented: bytes | str | None) -> ApiKey | None:
        """The entry of this key, or None. Pass a header's value as the bytes sent, and a JSON value as a str.

        The time depends on the length of the key and the number of keys, not on whether the key is right, wrong or
        almost right.
        """
        digest = digest_of(presented or b"")
        found = None
        for key in self._read():
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found


def digest_of(key: bytes | str) -> bytes:
    """The SHA-256 of a key, equally long for all keys. Keys from JSON may contain lone surrogates."""
    return sha256(key.encode(errors="surrogatepass") if isinstance(key, str) else key).digest()
