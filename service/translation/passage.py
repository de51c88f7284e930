"""How a text is put back together from its sentences."""

import msgspec

from service.translation.decoded_text import DecodedText
from service.translation.routing import Leg


class Sentence(msgspec.Struct, frozen=True, eq=False, gc=False):
    """One sentence on its way into one language. `before` stands in front of it in the translation.

    With a `relay`, `decoded` is its text in the pivot language only.
    """

    before: str
    decoded: DecodedText
    relay: "Relay | None" = None


class Passage(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A text on one leg. `after` follows the last sentence; without sentences it is the whole text."""

    sentences: list[Sentence]
    after: str


class Relay(msgspec.Struct, eq=False, gc=False):
    """The second leg of all `num_sentences` sentences that have the same first leg. `passage` follows when that ends.

    `prefix` starts the translation, if these sentences do.
    """

    leg: Leg
    prefix: str
    num_sentences: int = 0
    passage: Passage | None = None
