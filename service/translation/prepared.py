"""A request that has passed every check except for the queue's."""

from dataclasses import dataclass

from service.engine.decode import PreparedDecode
from service.translation.passages import Passages
from service.translation.request import TranslationRequest
from service.translation.results import Usage
from service.translation.target_text import TargetText


@dataclass(frozen=True, slots=True, eq=False)
class PreparedTranslation:
    """`target_texts` are ordered by text, then by target. `decodes` are the distinct decodes of the first legs.

    `models` are the names of its checkpoints, in the order of their first use.
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
