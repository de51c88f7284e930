"""The insets and the glossary terms of a sentence on its way into one language."""

import msgspec

from service.text.glossary import Glossary
from service.text.terms import SourceTerm, find_translated, put_terms
from service.text.weaving import SourceInset, Woven, weave
from service.translation.decoded_text import DecodedText


class Insets(msgspec.Struct, frozen=True, gc=False):
    """`sets_spaces` is true for a target language with spaces between words. Terms are put in on the last leg only.

    Sentences that share a decode mostly have equal insets, so the woven text is kept with the decode.
    """

    insets: tuple[SourceInset, ...]
    terms: tuple[SourceTerm, ...]
    sets_spaces: bool
    is_last_leg: bool

    def weave_into(self, decoded: DecodedText, *, rank: int) -> Woven:
        """The hypothesis of that rank with the insets in it; `decoded` must be over."""
        woven = decoded.woven.get((self, rank))
        if woven is None:
            woven = decoded.woven[self, rank] = self._weave(decoded, rank)
        return woven

    def glossary_of(self, decoded: DecodedText) -> Glossary | None:
        """The glossary of the second leg: the first leg's words for the terms, with the terms' targets, or None."""
        deltas, weights = decoded.aligned_deltas(0)
        text = "".join(deltas)
        terms = {text[each.start : each.end]: each.target for each in find_translated(deltas, weights, self.terms)}
        terms.pop("", None)
        return Glossary(terms) if terms else None

    def _weave(self, decoded: DecodedText, rank: int) -> Woven:
        deltas, weights = decoded.aligned_deltas(rank)
        decoded.weaving_work += len(deltas) * (len(self.insets) + len(self.terms))
        unknown = {each: each.unknown for each in self.insets if each.num_tokens}
        terms = [*unknown.values(), *(self.terms if self.is_last_leg else ())]
        lost: list[SourceTerm] = []
        if terms:
            deltas, lost = put_terms(deltas, weights, terms)
        insets = [each for each in self.insets if each not in unknown or unknown[each] in lost]
        woven = weave(deltas, weights, insets, sets_spaces=self.sets_spaces)
        displaced = [term.target for term in lost if not term.is_unknown]
        return Woven(woven.deltas, woven.spans, [*displaced, *woven.displaced])
