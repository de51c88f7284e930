"""The expected cost of a decode, for sharing work among workers, turns among requests, and the bound of the queue."""

from model.search.spec import DecodeSpec
from service.engine.target_lengths import TargetLengths


def decode_cost(spec: DecodeSpec, lengths: TargetLengths) -> int:
    """Tokens to generate, over all rows."""
    return spec.beam_size * lengths.expected(spec)


def encode_cost(spec: DecodeSpec) -> int:
    """Tokens of the source, if it has not been encoded yet."""
    return len(spec.source_ids)
