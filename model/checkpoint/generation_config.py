"""A checkpoint's rules of search, from `generation_config.json`: validated, frozen data.

Lengths count all decoder tokens, as `transformers` counts `decoder_input_ids`: the start token, the language token, a
forced prefix and the generated tokens. Rules about repetition see all of these too.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from model.checkpoint.fields import Fields

if TYPE_CHECKING:
    from model.checkpoint.config import ModelConfig

EarlyStopping = bool | Literal["never"]

MAX_LENGTH_PENALTY = 10.0
"""A length raised to a higher power would overflow a float."""


@dataclass(frozen=True, slots=True)
class GenerationConfig:
    """Each rule means the same as its namesake in `transformers`; its default is neutral."""

    max_length: int
    """The most tokens in a target, decoder prompt included."""
    length_penalty: float = 1.0
    early_stopping: EarlyStopping = False
    forced_bos_token_id: int | None = None
    """The token after a decoder prompt of one token. Longer prompts have their language token there."""
    forced_eos_token_id: int | None = None
    """The last token of a target that reaches its maximum length."""
    min_length: int = 0
    """Shorter targets do not end. Includes the decoder prompt."""
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    bad_words_ids: tuple[tuple[int, ...], ...] = ()
    """Token sequences that never appear; the end token alone is left out."""
    suppress_tokens: tuple[int, ...] = ()
    """Tokens that are never chosen."""
    begin_suppress_tokens: tuple[int, ...] = ()
    """Tokens that are never the first freely chosen token."""
    renormalize_logits: bool = False

    @classmethod
    def from_dict(
        cls, raw: Mapping[str, object], config: "ModelConfig", *, file: str = "generation_config.json"
    ) -> "GenerationConfig":
        """Raises CheckpointError for a rule that would change the translation and is not implemented."""
        fields = Fields(file, raw)
        fields.require(_ACCEPTED_VALUES)
        for key, token_id in (
            ("pad_token_id", config.pad_token_id),
            ("eos_token_id", config.eos_token_id),
            ("decoder_start_token_id", config.decoder_start_token_id),
        ):
            if fields.has(key) and fields.token_id(key) != token_id:
                raise fields.error(key, f"{fields.raw[key]!r} contradicts the {token_id} of config.json")
        generation = cls(
            max_length=min(_max_length(fields, default=config.max_positions), config.max_positions),
            length_penalty=fields.number("length_penalty", default=1.0),
            early_stopping=_early_stopping(fields),
            forced_bos_token_id=fields.optional_token_id("forced_bos_token_id"),
            forced_eos_token_id=fields.optional_token_id("forced_eos_token_id"),
            min_length=_min_length(fields),
            repetition_penalty=fields.number("repetition_penalty", default=1.0),
            no_repeat_ngram_size=fields.count("no_repeat_ngram_size", default=0),
            bad_words_ids=_bad_words(fields, config.eos_token_id),
            suppress_tokens=fields.token_ids("suppress_tokens"),
            begin_suppress_tokens=fields.token_ids("begin_suppress_tokens"),
            renormalize_logits=fields.flag("renormalize_logits", default=False),
        )
        if generation.repetition_penalty <= 0:
            raise fields.error("repetition_penalty", f"{generation.repetition_penalty} is not positive")
        if not abs(generation.length_penalty) <= MAX_LENGTH_PENALTY:
            raise fields.error("length_penalty", f"{generation.length_penalty} is not within ±{MAX_LENGTH_PENALTY}")
        for token_id in generation.ruled_token_ids():
            if token_id >= config.decoder_vocab_size:
                raise fields.error("rules", f"name token {token_id}, the vocabulary has {config.decoder_vocab_size}")
        return generation

    def ruled_token_ids(self) -> Iterator[int]:
        """Every token that a rule names."""
        yield from (token for token in (self.forced_bos_token_id, self.forced_eos_token_id) if token is not None)
        yield from self.suppress_tokens
        yield from self.begin_suppress_tokens
        for word in self.bad_words_ids:
            yield from word


def _max_length(fields: Fields, *, default: int) -> int:
    """`max_new_tokens` overrides `max_length`, and counts from just after the start token."""
    if fields.has("max_new_tokens"):
        return 1 + fields.size("max_new_tokens")
    return fields.size("max_length") if fields.has("max_length") else default


def _min_length(fields: Fields) -> int:
    """`min_new_tokens` overrides `min_length`, like `_max_length`."""
    if fields.has("min_new_tokens"):
        return 1 + fields.count("min_new_tokens", default=0)
    return fields.count("min_length", default=0)


def _early_stopping(fields: Fields) -> EarlyStopping:
    if fields.raw.get("early_stopping") == "never":
        return "never"
    return fields.flag("early_stopping", default=False)


def _bad_words(fields: Fields, eos_token_id: int) -> tuple[tuple[int, ...], ...]:
    return tuple(word for word in fields.token_sequences("bad_words_ids") if word != (eos_token_id,))


# The defaults of `transformers` for an old config.json without generation_config.json.
LEGACY_GENERATION_DEFAULTS: Mapping[str, Mapping[str, object]] = MappingProxyType(
    {
        "bart": {"forced_eos_token_id": 2},
        "marian": {"forced_eos_token_id": 0},
        "mbart": {"forced_eos_token_id": 2},
        "pegasus": {"forced_eos_token_id": 1},
    }
)

# Rules that change the choice of tokens and are not implemented, with the values that switch them off.
_ACCEPTED_VALUES: Mapping[str, tuple[object, ...]] = MappingProxyType(
    {
        "constraints": (),
        "diversity_penalty": (0.0,),
        "dola_layers": (),
        "encoder_no_repeat_ngram_size": (0,),
        "encoder_repetition_penalty": (1.0,),
        "exponential_decay_length_penalty": (),
        "force_words_ids": ([],),
        "forced_decoder_ids": ([],),
        "guidance_scale": (1.0,),
        "max_time": (),
        "num_beam_groups": (1,),
        "penalty_alpha": (0.0,),
        "prompt_lookup_num_tokens": (),
        "sequence_bias": ({}, []),
        "stop_strings": ([],),
        "token_healing": (False,),
        "watermarking_config": (),
    }
)
