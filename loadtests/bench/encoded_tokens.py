"""Source tokens that a server encodes for one source in several languages, in one request and in several."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from loadtests.bench.generator import REQUEST_SECONDS
from loadtests.bench.http_requests import TRANSLATE
from loadtests.bench.lean_client import LeanClient, http_request
from loadtests.bench.loopback import HOST
from loadtests.bench.running_server import BenchServer
from loadtests.bench.source_lines import SourceLine

TARGETS = ("de", "fr", "es")
ENCODED = "kakehashi_source_tokens_total"


@dataclass(frozen=True, slots=True)
class EncodedTokens:
    in_one_request: int
    in_separate_requests: int

    @property
    def ratio(self) -> Fraction:
        return Fraction(self.in_one_request, self.in_separate_requests)


def measure_encoded_tokens(server: BenchServer, sentence: SourceLine) -> EncodedTokens:
    """All requests bypass the cache. Raises SystemExit if the source is encoded more than once in one request."""
    encoded = EncodedTokens(
        _encoded(server, sentence, [list(TARGETS)]), _encoded(server, sentence, [[target] for target in TARGETS])
    )
    if encoded.ratio != Fraction(1, len(TARGETS)):
        raise SystemExit(f"{encoded.ratio} of the source tokens were encoded, not 1/{len(TARGETS)}: {encoded}")
    return encoded


def _encoded(server: BenchServer, sentence: SourceLine, targets: Sequence[list[str]]) -> int:
    """Source tokens encoded for one request after another, with the languages in `targets`."""

    async def ask() -> None:
        client = LeanClient(HOST, server.port, timeout_seconds=REQUEST_SECONDS)
        try:
            for langs in targets:
                body = {**sentence.body(stream=False), "target_lang": langs}
                exchange = await client.ask(http_request(TRANSLATE, body, no_store=True), stream=False)
                if not exchange.is_ok:
                    raise SystemExit(f"a request failed: status {exchange.status}, {exchange.failure}")
        finally:
            client.close()

    before = server.metrics()
    asyncio.run(ask())
    return int(server.metrics().sum(ENCODED) - before.sum(ENCODED))
