"""Bodies of Hugging Face's API. Parameters that would change a text but are not served are refused by name."""

from secrets import randbits
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from model.checkpoint.generation_config import MAX_LENGTH_PENALTY
from model.search.spec import MAX_TEMPERATURE, MIN_TEMPERATURE, Sampling
from service.api.admission import Work
from service.api.errors import InvalidRequestError
from service.api.schemas import MAX_INT, LookedUpCode, UnicodeText
from service.translation.language_pair import LanguagePair
from service.translation.request import TranslationRequest

NotServed = Annotated[Any, Field(description="not served")]
NOT_SERVED = (
    "adapter_id",
    "frequency_penalty",
    "grammar",
    "return_full_text",
    "stop",
    "truncate",
    "typical_p",
    "watermark",
)


class SearchParameters(BaseModel):
    """Parameters of the search. Each of `do_sample`, `temperature`, `top_k` and `top_p` turns sampling on."""

    model_config = ConfigDict(allow_inf_nan=False)

    num_beams: int | None = Field(None, ge=1, le=8)
    length_penalty: float | None = Field(None, ge=-MAX_LENGTH_PENALTY, le=MAX_LENGTH_PENALTY)
    max_new_tokens: int | None = Field(None, ge=1, le=MAX_INT, description="for each sentence")
    do_sample: bool | None = None
    temperature: float | None = Field(None, ge=MIN_TEMPERATURE, le=MAX_TEMPERATURE)
    top_k: int | None = Field(None, ge=1, le=MAX_INT)
    top_p: float | None = Field(None, gt=0, lt=1)
    seed: int | None = Field(None, ge=0, le=2**63 - 1)
    best_of: int | None = Field(None, ge=1, le=1)
    repetition_penalty: float | None = Field(None, ge=1, le=1)
    frequency_penalty: NotServed = None
    grammar: NotServed = None
    return_full_text: NotServed = None
    stop: NotServed = None
    truncate: NotServed = None
    typical_p: NotServed = None
    watermark: NotServed = None
    adapter_id: NotServed = None

    def check_served(self) -> None:
        """Raises InvalidRequestError."""
        for name in NOT_SERVED:
            if getattr(self, name):
                raise InvalidRequestError(f"parameters.{name} is not supported by this server: leave it out")

    def sampling(self) -> Sampling | None:
        """Raises InvalidRequestError."""
        if not self.do_sample and self.temperature is self.top_k is self.top_p is None:
            return None
        if (self.num_beams or 1) > 1:
            raise InvalidRequestError("parameters.num_beams is over 1, which excludes sampling")
        return Sampling(
            seed=randbits(63) if self.seed is None else self.seed,
            temperature=1.0 if self.temperature is None else self.temperature,
            top_k=self.top_k or 0,
            top_p=1.0 if self.top_p is None else self.top_p,
        )


class GenerateParameters(SearchParameters):
    """Unknown parameters are ignored. `generate_parameters` override the parameters beside them."""

    src_lang: LookedUpCode | None = None
    tgt_lang: LookedUpCode | None = None
    details: bool | None = None
    generate_parameters: dict[str, Any] | None = None

    @model_validator(mode="before")
    @classmethod
    def _with_generate_parameters(cls, values: Any) -> Any:
        nested = values.get("generate_parameters") if isinstance(values, dict) else None
        return {**values, **nested} if isinstance(nested, dict) else values


class LanguageQuery(BaseModel):
    """Languages for clients that cannot send them in the parameters. The parameters override the query."""

    src_lang: LookedUpCode | None = None
    tgt_lang: LookedUpCode | None = None


class GenerateBody(BaseModel):
    inputs: UnicodeText = Field(min_length=1, examples=["I saw a dog."])
    parameters: GenerateParameters | None = None
    stream: bool | None = None

    @property
    def has_details(self) -> bool:
        return bool(self.parameters and self.parameters.details)

    @property
    def seed(self) -> int | None:
        return self.parameters.seed if self.parameters else None

    def to_work(self, query: LanguageQuery, default: LanguagePair, *, is_streamed: bool) -> Work:
        """Raises InvalidRequestError. Details need the tokens of a stream."""
        parameters = self.parameters or GenerateParameters()
        parameters.check_served()
        pair = default.complete(parameters.src_lang or query.src_lang, parameters.tgt_lang or query.tgt_lang)
        sampling = parameters.sampling()
        request = TranslationRequest(
            texts=(self.inputs,),
            source_lang=pair.source_lang,
            target_langs=pair.target_langs,
            beam_size=parameters.num_beams or 1,
            length_penalty=parameters.length_penalty,
            max_new_tokens=parameters.max_new_tokens,
            sampling=sampling,
            is_streamed=is_streamed or self.has_details,
        )
        is_repeatable = not is_streamed and (sampling is None or parameters.seed is not None)
        return Work(request, timeout_seconds=None, is_repeatable=is_repeatable)
