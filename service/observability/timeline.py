"""The start and end times of a request's stages.

Times are seconds of the monotonic clock, which all processes of a machine share; 0 means not reached.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from typing import Literal

StageName = Literal["admit", "queue", "encode", "decode", "answer"]


@dataclass(frozen=True, slots=True)
class Stage:
    name: StageName
    began: float
    ended: float


@dataclass(slots=True)
class Timeline:
    """The stage `encode` covers the batch that encoded the first source; later batches run during `decode`."""

    admitted_at: float = 0.0
    submitted_at: float = 0.0
    first_slot_at: float = 0.0
    last_slot_at: float = 0.0
    encode_began_at: float = 0.0
    encode_ended_at: float = 0.0
    first_token_at: float = 0.0
    decoded_at: float = 0.0
    streaming_at: float = 0.0

    def start_sentence(self, slot_at: float, *, encode_seconds: float) -> None:
        """Record that a sentence got its slot. `encode_seconds` is 0 if its source did not have to be encoded."""
        self.first_slot_at = min(self.first_slot_at or slot_at, slot_at)
        self.last_slot_at = max(self.last_slot_at, slot_at)
        if encode_seconds and slot_at < (self.encode_began_at or inf):  # workers report in any order
            self.encode_began_at, self.encode_ended_at = slot_at, slot_at + encode_seconds

    def stages(self, ended_at: float) -> Iterator[Stage]:
        """The stages that were reached, in order. Stages still open at the end of the request end with it.

        A stream is sent while it is decoded, a plain answer afterwards.
        """
        if self.submitted_at:
            yield Stage("admit", self.admitted_at, self.submitted_at)
            if self.first_slot_at or not self.decoded_at:
                yield Stage("queue", self.submitted_at, self.first_slot_at or ended_at)
        if self.encode_began_at:
            yield Stage("encode", self.encode_began_at, self.encode_ended_at)
        if self.first_slot_at:
            is_encoded_first = self.encode_began_at == self.first_slot_at
            began = self.encode_ended_at if is_encoded_first else self.first_slot_at
            yield Stage("decode", began, self.decoded_at or ended_at)
        if began := self.streaming_at or self.decoded_at:
            yield Stage("answer", began, ended_at)
