"""Answers and events of text-generation-inference."""

from typing import Literal

import msgspec

FinishReason = Literal["length", "eos_token", "stop_sequence"]


class GeneratedToken(msgspec.Struct, frozen=True):
    """A `special` token ends a sentence and has no text."""

    id: int
    text: str
    logprob: float
    special: bool


class GenerationDetails(msgspec.Struct, frozen=True, kw_only=True):
    finish_reason: FinishReason
    generated_tokens: int
    seed: int | None
    prefill: list[GeneratedToken] = []
    tokens: list[GeneratedToken]


class GenerateAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    generated_text: str
    details: GenerationDetails | None = None


class BothTasksAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The same text under the names of both tasks, because their requests are identical."""

    translation_text: str
    generated_text: str
    details: GenerationDetails | None = None


class StreamDetails(msgspec.Struct, frozen=True):
    finish_reason: FinishReason
    generated_tokens: int
    seed: int | None
    input_length: int


class StreamEvent(msgspec.Struct, frozen=True):
    """Only the last event has the text, and the details if they were requested."""

    index: int
    token: GeneratedToken
    generated_text: str | None = None
    details: StreamDetails | None = None


class InfoAnswer(msgspec.Struct, frozen=True, kw_only=True):
    model_id: str
    model_sha: str | None = None
    model_pipeline_tag: str | None = "translation"
    max_concurrent_requests: int
    max_best_of: int = 1
    max_stop_sequences: int = 0
    max_input_tokens: int
    max_total_tokens: int
    validation_workers: int
    max_client_batch_size: int = 1
    router: str = "kakehashi"
    version: str
    sha: str | None = None
    docker_label: str | None = None
