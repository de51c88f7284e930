"""How much a request uses of the limits on source tokens and on the size of its answer, over all its targets."""

from collections import Counter
from collections.abc import Iterable, Sequence
from unicodedata import normalize

from service.errors import TooLargeError
from service.translation.answer_size import TRANSLATION_BYTES, AnswerSize
from service.translation.request import TranslationRequest
from service.translation.routing import Route
from service.translation.source_text import SourcePart

Shapes = Counter[tuple[int, int]]
"""The targets of a text, by the special tokens around a source and the limit of its translation."""


class RequestSize:
    """All methods but `covers` raise TooLargeError if a limit is exceeded."""

    def __init__(self, request: TranslationRequest, *, max_tokens: int, max_answer_bytes: int) -> None:
        self._request = request
        self._max_tokens = max_tokens
        self._num_tokens = 0
        self._answer = AnswerSize(request, max_bytes=max_answer_bytes)
        self._answer.add(TRANSLATION_BYTES * len(request.texts) * request.num_targets)

    def shapes(self, routes: Iterable[Route]) -> Shapes:
        return Counter(map(self._shape, routes))

    def measure(self, num_pieces: int, shapes: Shapes) -> None:
        """Check the tokens of text that is still to be cut into sentences."""
        self._check_tokens(self._num_tokens + num_pieces * shapes.total())

    def add(self, part: SourcePart, shapes: Shapes) -> None:
        self.keep(part.num_kept_characters, num_targets=shapes.total())
        if part.sentence is None:
            return
        for (num_specials, max_new_tokens), num_targets in shapes.items():
            num_tokens = len(part.sentence.piece_ids) + num_specials
            self._num_tokens += num_tokens * num_targets
            expected = self._answer.expected_sentence_bytes(num_tokens, max_new_tokens=max_new_tokens)
            self._answer.add(expected * num_targets)
        self._check_tokens(self._num_tokens)

    def keep(self, num_characters: int, *, num_targets: int) -> None:
        """Add text that is kept unchanged."""
        self._answer.add(self._answer.kept_bytes(num_characters) * num_targets)

    def covers(self, texts: Iterable[tuple[str, Sequence[Route]]]) -> bool:
        """Whether these texts with the routes to their targets fit all limits, whatever their sentences are.

        A token covers at least one byte of a sentence in decomposed form (NFKD), the longest form that a tokenizer
        makes of it; one more may be added at its start. A sentence has at least two bytes.
        """
        request = self._request
        if request.with_tokens or request.glossary is not None:  # their sizes depend on the sentences
            return False
        num_tokens = num_answer_bytes = 0
        for text, routes in texts:
            num_bytes = len(text if text.isascii() else normalize("NFKD", text).encode())
            num_sentences = num_bytes // 2 + 1
            for num_specials, _ in map(self._shape, routes):
                num_source_tokens = num_bytes + num_sentences * (num_specials + 1)
                num_target_tokens = 2 * num_source_tokens + 8 * num_sentences
                num_tokens += num_source_tokens
                num_answer_bytes += num_target_tokens * self._answer.token_bytes(0)
            num_answer_bytes += self._answer.kept_bytes(num_bytes) * request.num_targets
        return num_tokens <= self._max_tokens and self._answer.has_room_for(num_answer_bytes)

    def _shape(self, route: Route) -> tuple[int, int]:
        first, last = route.legs[0], route.legs[-1]
        frame = first.model.tokenizer.frames[first.source_lang][first.target_lang]
        max_new_tokens = self._request.max_new_tokens or last.model.max_new_tokens
        return len(frame.before) + len(frame.after), max_new_tokens

    def _check_tokens(self, num_tokens: int) -> None:
        if num_tokens > self._max_tokens:
            raise TooLargeError(
                f"the request has more than {self._max_tokens} source tokens over all targets; "
                f"the limit is {self._max_tokens}"
            )
