"""The encoder outputs of one checkpoint in a worker, kept while a decode of their source is waiting or running."""

from collections.abc import Iterator
from dataclasses import dataclass

from service.engine.turns import SourceIds


@dataclass(slots=True)
class _Source:
    num_uses: int = 0
    output: object | None = None
    """The encoder output, opaque here; None until it is encoded."""


class EncoderOutputs:
    """`source_ids in outputs` is whether a source is encoded."""

    def __init__(self) -> None:
        self._sources: dict[SourceIds, _Source] = {}

    def __contains__(self, source_ids: object) -> bool:
        source = self._sources.get(source_ids)  # type: ignore[call-overload]
        return source is not None and source.output is not None

    def __len__(self) -> int:
        return len(self._sources)

    def __iter__(self) -> Iterator[SourceIds]:
        return iter(self._sources)

    def acquire(self, source_ids: SourceIds) -> None:
        """Add a use of this source by a decode."""
        self._sources.setdefault(source_ids, _Source()).num_uses += 1

    def release(self, source_ids: SourceIds) -> None:
        """Remove a use. The last one removes the output."""
        source = self._sources[source_ids]
        source.num_uses -= 1
        if not source.num_uses:
            del self._sources[source_ids]

    def put(self, source_ids: SourceIds, output: object) -> None:
        self._sources[source_ids].output = output

    def get(self, source_ids: SourceIds) -> object:
        output = self._sources[source_ids].output
        assert output is not None, "the source is not encoded"
        return output
