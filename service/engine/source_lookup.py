"""Connect decodes with the encoder cache: look-ups before a decode is placed, storing after its source is encoded."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from itertools import chain

from service.cache.encoder_cache import EncoderCache
from service.cache.values import OutputKey
from service.engine.decode import Decode
from service.observability.tracing import current_trace

logger = logging.getLogger(__name__)


class SourceLookup:
    """`place` receives the decodes, with encoder outputs that a tier had."""

    def __init__(self, cache: EncoderCache, place: Callable[[Iterable[Decode]], None]) -> None:
        self._cache = cache
        self._place = place
        self._lookups: set[asyncio.Task[None]] = set()

    def look_up(self, decodes: Iterable[Decode]) -> None:
        """Place new decodes: at once, or after one request to the shared tier for all of them.

        Sources that are in flight already are not looked up.
        """
        began = time.monotonic()
        decided: list[Decode] = []
        to_ask: dict[OutputKey, list[Decode]] = {}
        outputs: dict[OutputKey, bytes | None] = {}
        for decode in decodes:
            key = decode.prepared.output_key
            if key is None:
                decided.append(decode)
                continue
            if key not in outputs:
                outputs[key] = self._cache.find(key)
            decode.encoder_output = outputs[key]
            if decode.encoder_output is None and decode.source.worker is None and self._cache.is_shared(key):
                to_ask.setdefault(key, []).append(decode)
            else:
                decided.append(decode)
        _trace_memory_lookup(outputs, began=began)
        self._place_with_outputs(decided)
        if to_ask:
            lookup = asyncio.create_task(self._ask_shared_tier(to_ask))
            self._lookups.add(lookup)
            lookup.add_done_callback(self._lookups.discard)

    def keep(self, decode: Decode, encoder_output: bytes) -> None:
        """Store a fresh output in the memory of this process; it goes to the shared tier after the answer."""
        key = decode.prepared.output_key
        if key is not None:
            self._cache.keep(key, encoder_output)
            decode.fresh_output = encoder_output if self._cache.is_shared(key) else None

    def share(self, decode: Decode) -> None:
        """Pass a fresh output to the shared tier, after an answer is out."""
        key = decode.prepared.output_key
        if key is not None and decode.fresh_output is not None:
            self._cache.share(key, decode.fresh_output)
            decode.fresh_output = None

    async def aclose(self) -> None:
        lookups = list(self._lookups)
        for lookup in lookups:
            lookup.cancel()
        await asyncio.gather(*lookups, return_exceptions=True)

    async def _ask_shared_tier(self, to_ask: dict[OutputKey, list[Decode]]) -> None:
        try:
            outputs = await self._cache.find_shared(list(to_ask))
        except Exception:  # after any error the requests go on without the cache
            logger.exception("looking up encoder outputs failed")
            outputs = {}
        for key, decodes in to_ask.items():
            for decode in decodes:
                decode.encoder_output = outputs.get(key)
        self._place_with_outputs([each for each in chain.from_iterable(to_ask.values()) if not each.is_over])

    def _place_with_outputs(self, decodes: list[Decode]) -> None:
        for decode in decodes:
            decode.came_with_output = decode.encoder_output is not None
        self._place(decodes)


def _trace_memory_lookup(outputs: dict[OutputKey, bytes | None], *, began: float) -> None:
    trace = current_trace()
    if trace is not None and outputs:
        num_found = sum(output is not None for output in outputs.values())
        attributes = {"kakehashi.sources": len(outputs), "kakehashi.hits": num_found}
        trace.add_look_up("memory", began=began, attributes=attributes)
