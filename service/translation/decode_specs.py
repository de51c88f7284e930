"""The `DecodeSpec` of a sentence on one leg of its route."""

from model.search.spec import DecodeSpec
from service.errors import UnsupportedOptionError
from service.translation.request import TranslationRequest
from service.translation.routing import Leg


def encode_prefix(prefix: str, leg: Leg) -> tuple[int, ...]:
    """The token ids of a prefix. Raises UnsupportedOptionError if it leaves no room for more tokens."""
    prefix_ids = tuple(leg.model.tokenizer.encode_prefix(prefix)) if prefix else ()
    limit = leg.model.max_new_tokens - 1
    if len(prefix_ids) > limit:
        raise UnsupportedOptionError(f"prefix has {len(prefix_ids)} tokens; the limit is {limit}")
    return prefix_ids


def decode_spec(
    request: TranslationRequest,
    piece_ids: tuple[int, ...],
    leg: Leg,
    *,
    prefix_ids: tuple[int, ...],
    is_last_leg: bool,
    needs_alignment: bool,
) -> DecodeSpec:
    """The spec of a sentence. Only the last leg uses the request's maximum length, hypotheses and extra fields."""
    tokenizer = leg.model.tokenizer
    prompt = (*tokenizer.decoder_prompt(leg.target_lang), *prefix_ids)
    limit = request.max_new_tokens if is_last_leg and request.max_new_tokens else leg.model.max_new_tokens
    return DecodeSpec(
        checkpoint=leg.model.name,
        source_ids=tuple(tokenizer.frame_source(piece_ids, source_lang=leg.source_lang, target_lang=leg.target_lang)),
        decoder_prompt=prompt,
        max_new_tokens=min(limit, leg.model.max_new_tokens - len(prefix_ids)),
        beam_size=request.beam_size,
        num_hypotheses=request.num_hypotheses if is_last_leg else 1,
        length_penalty=request.length_penalty,
        sampling=request.sampling,
        repetition_guard=request.repetition_guard,
        num_top_tokens=request.num_top_tokens if is_last_leg else 0,
        with_alignment=needs_alignment or (request.with_alignment and is_last_leg),
        # A beam is scored as transformers scores it; otherwise the score is the mean over the generated tokens.
        num_uncounted_tokens=1 if request.beam_size > 1 else len(prompt),
        language_pair=f"{leg.source_lang}-{leg.target_lang}",
    )
