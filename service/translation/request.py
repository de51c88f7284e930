"""A client's request, from any API."""

from dataclasses import dataclass

from model.search.spec import Sampling
from service.engine.owner import Priority
from service.text.glossary import Glossary
from service.text.segmentation import SplitSentences


@dataclass(frozen=True, slots=True)
class TranslationRequest:
    """A request to translate all texts into all target languages.

    If `source_lang` is None, the language of every text is detected separately. Without `target_langs`, a text is
    translated into the first language that is not its own.

    `format` is named as in the native API; the translator refuses all but the `formats` of the client's API.
    `max_new_tokens` is per sentence. None leaves it, like the length penalty, to the server. The translation of the
    first sentence starts with `prefix`, which needs a single text and target. A `glossary` needs a single target, too.
    """

    texts: tuple[str, ...]
    source_lang: str | None
    target_langs: tuple[str, ...]
    model: str | None = None
    format: str = "text"
    formats: tuple[str, ...] = ("text", "html")
    beam_size: int = 1
    num_hypotheses: int = 1
    max_new_tokens: int | None = None
    length_penalty: float | None = None
    split_sentences: SplitSentences = "newlines"
    sampling: Sampling | None = None
    prefix: str = ""
    glossary: Glossary | None = None
    with_tokens: bool = False
    num_top_tokens: int = 0
    with_alignment: bool = False
    priority: Priority = "interactive"
    repetition_guard: bool = True
    is_streamed: bool = False
    is_cacheable: bool = True
    is_one_decode: bool = False
    """Whether every sentence ends at the limit of its model, even without `max_new_tokens`."""

    @property
    def num_targets(self) -> int:
        """The number of translations of each text."""
        return len(self.target_langs) or 1

    @property
    def num_characters(self) -> int:
        return sum(map(len, self.texts))

    @property
    def may_go_on(self) -> bool:
        """Whether a sentence goes on past the limit of its model."""
        return self.max_new_tokens is None and not self.is_one_decode
