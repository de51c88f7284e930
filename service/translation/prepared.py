"""A request that passed every check but the queue's."""

from dataclasses import dataclass

from service.engine.decode import PreparedDecode
from service.translation.passages import Passages
from service.translation.request import TranslationRequest
from service.translation.results import Usage
from service.translation.target_text import TargetText


@dataclass(frozen=True, slots=True, eq=False)
class PreparedTranslation:
    """`target_texts` are by text, then by target, as asked. `decodes` are the distinct ones of their first legs.

    `models` are the names of the checkpoints that it goes through, in the order of their first use.
    """

    request: TranslationRequest
    target_texts: list[TargetText]
    models: list[str]
    passages: Passages
    decodes: list[PreparedDecode]
    admitted_at: float

    @property
    def usage(self) -> Usage:
        return self.passages.usage
