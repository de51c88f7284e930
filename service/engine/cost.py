"""What a decode is expected to cost, in tokens: how work is shared out among workers, and turns among requests."""

from model.search.spec import DecodeSpec


def decode_cost(spec: DecodeSpec) -> int:
    """Tokens over all rows. A target is expected to be as long as its source."""
    return spec.beam_size * (len(spec.source_ids) + len(spec.decoder_prompt))


def encode_cost(spec: DecodeSpec) -> int:
    """Tokens of the source, where nobody has encoded it yet."""
    return len(spec.source_ids)
