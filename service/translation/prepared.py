"""A request that has passed every check except for the queue's."""

from dataclasses import dataclass, field

from service.engine.decode import PreparedDecode
from service.translation.passages import Passages
from service.translation.request import TranslationRequest
from service.translation.rest import Rest
from service.translation.results import Usage
from service.translation.target_text import TargetText


@dataclass(slots=True, eq=False)
class PreparedTranslation:
    """`target_texts` are ordered by text, then by target. `decodes` are the distinct decodes of the first legs.

    `models` are the names of its checkpoints, in the order of their first use. If there is a `rest`, further sentences
    come from there.
    """

    request: TranslationRequest
    target_texts: list[TargetText]
    models: list[str]
    passages: Passages
    admitted_at: float
    rest: Rest | None = None
    decodes: list[PreparedDecode] = field(default_factory=list)

    @property
    def usage(self) -> Usage:
        return self.passages.usage
