"""The passages of one request on all legs, and the distinct decodes that their sentences share."""

from collections import defaultdict
from dataclasses import replace
from functools import cache

from model.search.spec import DecodeSpec
from service.text.segmentation import sets_spaces
from service.translation.answer_size import AnswerSize
from service.translation.continuation import MIN_LIMIT
from service.translation.decode_specs import decode_spec, encode_prefix
from service.translation.decoded_text import DecodedText
from service.translation.insets import Insets
from service.translation.passage import Passage, Relay, Sentence
from service.translation.request import TranslationRequest
from service.translation.rest import Part
from service.translation.results import Usage
from service.translation.routing import Leg, Route, ServedModel
from service.translation.source_text import SourcePart, SourceReader, SourceSentence


class Passages:
    """Creates the passages of one request, and counts their use in `usage` and `answer`.

    `decoded` has one `DecodedText` for each distinct spec, on a first or a second leg; its index is the key of its
    decode.
    """

    def __init__(self, request: TranslationRequest, answer: AnswerSize) -> None:
        self.usage = Usage(characters=request.num_characters)
        self.answer = answer
        self.decoded: list[DecodedText] = []
        self._request = request
        self._by_spec: dict[DecodeSpec, DecodedText] = {}
        self._by_sentence: defaultdict[tuple[Leg, bool], dict[SourceSentence, DecodedText]] = defaultdict(dict)
        self._readers: dict[tuple[ServedModel, str], SourceReader] = {}
        self._relays: defaultdict[DecodedText, dict[tuple[Leg, str, Insets | None], Relay]] = defaultdict(dict)
        self._new: list[DecodeSpec] = []

    def reader(self, model: ServedModel, source_lang: str) -> SourceReader:
        """The request's only reader for this checkpoint and language."""
        key = (model, source_lang)
        request = self._request
        max_pieces = model.num_fitting_pieces if request.may_go_on else model.max_source_pieces
        return self._readers.get(key) or self._readers.setdefault(
            key, SourceReader(model, source_lang, split=request.split_sentences, max_pieces=max_pieces)
        )

    def extend(self, part: Part) -> None:
        """Add a sentence to its passages, or end them, on the first legs of their routes."""
        for passage, route in part.passages:
            self._extend_first(passage, route, part.source)

    def _extend_first(self, passage: Passage, route: Route, part: SourcePart) -> None:
        prefix = "" if passage.sentences else self._request.prefix
        if len(route.legs) == 1:
            self._extend_last(passage, route.legs[0], part, prefix=prefix, num_uses=1)
            return
        first, second = route.legs
        gap = part.gap.in_language(route.target_lang)
        if part.sentence is None:
            passage.end(gap)
            return
        decoded = self._share(part.sentence, first, is_last_leg=False, prefix_ids=())
        self._use(decoded, num_uses=1, is_last_leg=False)
        insets = _insets(part.sentence, first, is_last_leg=False)
        relay = self._relay(decoded, second, prefix=prefix, insets=insets)
        relay.num_sentences += 1
        passage.sentences.append(Sentence(gap, decoded, relay))
        if decoded.is_over:
            self.relay(decoded)

    def relay(self, decoded: DecodedText) -> int:
        """Continue with all second legs whose first leg, `decoded`, has ended. Returns their number."""

        @cache
        def read(model: ServedModel, source_lang: str, insets: Insets | None) -> list[SourcePart]:
            reader = self.reader(model, source_lang)
            parts: list[SourcePart] = []
            if insets is None:
                reader.read(decoded.texts[0], on_part=parts.append)
            else:
                woven, glossary = insets.weave_into(decoded, rank=0), insets.glossary_of(decoded)
                reader.read(woven.text, known=woven.spans, glossary=glossary, on_part=parts.append)
            return parts

        relays = self._relays.pop(decoded, {}).values()
        for relay in relays:
            leg, passage = relay.leg, Passage([])
            for part in read(leg.model, leg.source_lang, relay.insets):
                prefix = "" if passage.sentences else relay.prefix
                self._extend_last(passage, leg, part, prefix=prefix, num_uses=relay.num_sentences)
            relay.passage = passage
        return len(relays)

    def take_new(self) -> list[DecodeSpec]:
        """The specs that no earlier call returned, in the order of their keys."""
        new, self._new = self._new, []
        return new

    def go_on(self, decoded: DecodedText, spec: DecodeSpec) -> None:
        """Continue `decoded` with `spec`.

        Two texts may arrive at the same words, if one of them has a forced prefix. The decodes of a request must
        differ, so the limit is lowered until the spec is new.
        """
        while spec in self._by_spec:
            spec = replace(spec, max_new_tokens=spec.max_new_tokens - 1)
        self._by_spec[spec] = decoded
        self.decoded.append(decoded)
        self._new.append(spec)

    def _extend_last(self, passage: Passage, leg: Leg, part: SourcePart, *, prefix: str, num_uses: int) -> None:
        gap, sentence = part.gap.in_language(leg.target_lang), part.sentence
        if sentence is None:
            passage.end(gap)
            return
        decoded = self._share(sentence, leg, is_last_leg=True, prefix_ids=encode_prefix(prefix, leg))
        self._use(decoded, num_uses=num_uses, is_last_leg=True)
        passage.sentences.append(Sentence(gap + prefix, decoded, insets=_insets(sentence, leg, is_last_leg=True)))

    def _relay(self, decoded: DecodedText, leg: Leg, *, prefix: str, insets: Insets | None) -> Relay:
        relays = self._relays[decoded]
        key = (leg, prefix, insets)
        return relays.get(key) or relays.setdefault(key, Relay(leg, prefix, insets))

    def _share(
        self, sentence: SourceSentence, leg: Leg, *, is_last_leg: bool, prefix_ids: tuple[int, ...]
    ) -> DecodedText:
        """Return the decode of an equal sentence, or a new one."""
        by_sentence = self._by_sentence[leg, is_last_leg]  # a reader returns the same SourceSentence for equal ones
        if not prefix_ids and (known := by_sentence.get(sentence)) is not None:
            return known
        spec = decode_spec(
            self._request,
            sentence.piece_ids,
            leg,
            prefix_ids=prefix_ids,
            is_last_leg=is_last_leg,
            needs_alignment=sentence.needs_alignment,
        )
        decoded = self._by_spec.get(spec)
        if decoded is None:
            keeps_deltas = self._request.is_streamed or self._request.with_tokens
            decoded = DecodedText.begin(
                spec,
                leg.model,
                prefix_ids=prefix_ids,
                keeps_deltas=keeps_deltas,
                may_go_on=self._may_go_on(leg, is_last_leg=is_last_leg),
                shows_alignment=self._request.with_alignment,
            )
            self._by_spec[spec] = decoded
            self.decoded.append(decoded)
            self._new.append(spec)
        if not prefix_ids:
            by_sentence[sentence] = decoded
        return decoded

    def _may_go_on(self, leg: Leg, *, is_last_leg: bool) -> bool:
        """Whether a sentence may go on past the limit of a decode. A client's own limit applies to the last leg."""
        request = self._request
        return (request.may_go_on or not is_last_leg) and leg.model.max_new_tokens >= MIN_LIMIT

    def _use(self, decoded: DecodedText, *, num_uses: int, is_last_leg: bool) -> None:
        """Let `num_uses` more sentences share `decoded`, which may have begun if a second leg equals an earlier one."""
        num_source_tokens = len(decoded.spec.source_ids)
        decoded.num_sentences += num_uses
        self.usage.source_tokens += num_source_tokens * num_uses
        self.usage.generated_tokens += decoded.num_tokens * num_uses
        self.usage.encoder_cache_hits += decoded.has_started * num_uses
        if is_last_leg:
            num_bytes = self.answer.token_bytes(num_source_tokens) * num_uses
            decoded.bytes_per_token += num_bytes
            self.answer.add(decoded.num_tokens * num_bytes)


def _insets(sentence: SourceSentence, leg: Leg, *, is_last_leg: bool) -> Insets | None:
    """The insets and terms of a sentence, with places counted in all tokens of its source, special ones included."""
    if not sentence.insets and not sentence.terms:
        return None
    num_front = len(leg.model.tokenizer.frames[leg.source_lang][leg.target_lang].before)
    insets = [replace(each, num_tokens_before=each.num_tokens_before + num_front) for each in sentence.insets]
    terms = [replace(each, start=each.start + num_front, end=each.end + num_front) for each in sentence.terms]
    return Insets(tuple(insets), tuple(terms), sets_spaces(leg.target_lang), is_last_leg)
