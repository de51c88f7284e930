"""The expected cost of a decode in tokens, for sharing work among workers and turns among requests."""

from model.search.spec import DecodeSpec


def decode_cost(spec: DecodeSpec) -> int:
    """Tokens over all rows. A target is expected to be as long as its source."""
    return spec.beam_size * (len(spec.source_ids) + len(spec.decoder_prompt))


def encode_cost(spec: DecodeSpec) -> int:
    """Tokens of the source, if it has not been encoded yet."""
    return len(spec.source_ids)
