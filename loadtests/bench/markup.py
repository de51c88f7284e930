"""Translate sentences with inline tags as HTML, and count kept tags: python -m loadtests.bench.markup DATA_DIR.

DATA_DIR has `NAME.en-XX.tsv`, one pair a line: English, tab, other. Each sentence gets one to three pairs of tags
around its words, side by side or nested, drawn with a fixed seed. A translation keeps the tags if they are those of the
source, verbatim and in order, and therefore well-formed. The tables also count the pairs that still enclose a word, and
the sentences with a warning.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from tqdm import tqdm

from loadtests.bench.offline_translation import bundled_translator, translation_parser
from model.evaluation.markdown import markdown_table, search_name
from model.evaluation.parallel_text import read_test_sets
from service.text.markup.html_tokens import html_tokens
from service.text.markup.token import Token, TokenKind
from service.text.segmentation import sets_spaces

SEED = 1
MOST_CHARACTERS = 160
MOST_PAIRS = 3
NESTED = 0.3
TAGS = (("<b>", "</b>"), ('<a href="x?y=1&amp;z">', "</a>"), ("<i>", "</i>"))


@dataclass(slots=True)
class Count:
    num_sentences: int = 0
    num_kept: int = 0
    num_warned: int = 0
    num_pairs: int = 0
    num_with_word: int = 0

    def add(self, source: str, translation: str, *, has_warning: bool) -> None:
        self.num_sentences += 1
        self.num_kept += _tags(translation) == _tags(source)
        self.num_warned += has_warning
        pairs = list(_have_words(translation))
        self.num_pairs += len(pairs)
        self.num_with_word += sum(pairs)

    def row(self) -> list[str]:
        return [
            f"{self.num_sentences:,}",
            f"{self.num_kept / self.num_sentences:.1%}",
            f"{self.num_with_word / self.num_pairs:.1%} of {self.num_pairs:,}",
            f"{self.num_warned / self.num_sentences:.1%}",
        ]


def main() -> None:
    parser = translation_parser(__doc__)
    parser.add_argument("--sentences", type=int, default=500, help="over all pairs of languages")
    parser.add_argument("--show", action="store_true", help="print every sentence with its translation")
    arguments = parser.parse_args()
    translator = bundled_translator(num_threads=arguments.threads)
    by_pair = {
        (each.source_lang, each.target_lang): each.sources for each in read_test_sets(arguments.data, limit=None)
    }
    num_each = -(-arguments.sentences // len(by_pair))
    body = []
    for beam_size in arguments.beam_sizes:
        count = Count()
        for (source, target), sentences in tqdm(by_pair.items(), unit="pair"):
            texts = _with_tags(sentences, source, num_sentences=num_each)
            translations = translator.translate(texts, source, target, format="html", beam_size=beam_size)
            for text, translation in zip(texts, translations, strict=True):
                count.add(text, translation.text, has_warning=bool(translation.warnings))
                if arguments.show:
                    print(f"{text}\n  {translation.text}")
        body.append([search_name(beam_size), *count.row()])
    print(markdown_table(["search", "sentences", "tags kept", "pairs with a word", "with a warning"], body))


def _with_tags(sentences: list[str], language: str, *, num_sentences: int) -> list[str]:
    random = Random(f"{SEED} {language}")
    fitting = [each for each in sentences if len(each) <= MOST_CHARACTERS and not set(each) & set("<>&")]
    separator = " " if sets_spaces(language) else ""
    drawn = (each.split(" ") if separator else list(each) for each in random.sample(fitting, len(fitting)))
    tagged = (_tagged(words, random, separator=separator) for words in drawn if len(words) >= 2 * MOST_PAIRS)
    return [text for text, _ in zip(tagged, range(num_sentences), strict=False)]


def _tagged(words: list[str], random: Random, *, separator: str) -> str:
    """The words with pairs of tags. A pair encloses one to four words, inside or after the pair before it."""
    before, after = [""] * len(words), [""] * len(words)
    start, end = 0, len(words)
    for opening, closing in random.sample(TAGS, random.randint(1, MOST_PAIRS)):
        if end - start < 1:
            break
        first = random.randrange(start, end)
        last = random.randrange(first, min(end, first + 4))
        before[first] += opening
        after[last] = closing + after[last]
        start, end = (first, last + 1) if random.random() < NESTED else (last + 1, len(words))
    return separator.join(map("".join, zip(before, words, after, strict=True)))


def _tags(text: str) -> list[str]:
    """The tags of a text, as they are written."""
    tokens = list(html_tokens(text))
    ends = [*(token.start for token in tokens[1:]), len(text)]
    written = ((token.kind, text[token.start : end]) for token, end in zip(tokens, ends, strict=True))
    return [tag for kind, tag in written if kind is not TokenKind.TEXT]


def _have_words(text: str) -> Iterator[bool]:
    """Whether each pair of tags encloses a letter or digit."""
    open_tokens: list[Token] = []
    tokens = list(html_tokens(text))
    for token in tokens:
        if token.kind is TokenKind.START:
            open_tokens.append(token)
        elif token.kind is TokenKind.END and open_tokens:
            start = open_tokens.pop().start
            inside = (each.text for each in tokens if start < each.start < token.start)
            yield any(map(str.isalnum, "".join(inside)))


if __name__ == "__main__":
    main()
