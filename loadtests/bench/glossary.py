"""Measure how often translations contain a glossary's single term, and the cost in quality.

    python -m loadtests.bench.glossary DATA_DIR

DATA_DIR has `NAME.en-XX.tsv`, one pair a line: English, tab, other. A term is a word of a sentence whose counterpart in
the reference is known from how often the two occur together. The glossary gives the term that counterpart, or a made-up
word, which then replaces the counterpart in the reference. BLEU is the mean over all pairs of languages; pairs through
English have no reference. In the last rows, a word that the vocabulary lacks replaces the term in the sentence and its
counterpart in the reference, and there is no glossary.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from statistics import mean

from tqdm import tqdm

from loadtests.bench.offline_translation import OfflineTranslator, bundled_translator, translation_parser
from loadtests.bench.terminology import SEED, Pair, TermInSentence, draw_terms, made_up
from model.evaluation.markdown import markdown_table, search_name
from model.evaluation.scoring import bleu
from service.text.glossary import Glossary

KINDS = ("from the reference", "made up", "made up, through English", "unknown in the source")
UNKNOWN = ("Łódź", "서울", "Ωμέγα", "שלום", "Київ", "Błędów")
HEAD = ["target terms", "search", "sentences", "in the translation", "without a glossary", "with a warning"]
PIVOT = "en"
BLEU_HEAD = ["BLEU", "BLEU without"]


@dataclass(slots=True)
class Count:
    num_sentences: int = 0
    num_right: int = 0
    num_without_glossary: int = 0
    num_warned: int = 0
    bleu: list[float] = field(default_factory=list)
    bleu_without: list[float] = field(default_factory=list)

    def row(self) -> list[str]:
        numbers = (self.num_right, self.num_without_glossary, self.num_warned)
        shares = [f"{number / self.num_sentences:.1%}" for number in numbers]
        means = [f"{mean(each):.2f}" if each else "–" for each in (self.bleu, self.bleu_without)]
        return [f"{self.num_sentences:,}", *shares, *means]


def main() -> None:
    parser = translation_parser(__doc__)
    parser.add_argument("--sentences", type=int, default=63, help="of each pair")
    parser.add_argument("--failures", action="store_true", help="print translations without their term")
    arguments = parser.parse_args()
    translator = bundled_translator(num_threads=arguments.threads)
    drawn = draw_terms(arguments.data, num_sentences=arguments.sentences)
    body = []
    for kind in KINDS:
        for beam_size in arguments.beam_sizes:
            count = Count()
            for (source, target), terms in tqdm(_pairs(drawn, kind), unit="pair", desc=f"{kind}, beam {beam_size}"):
                _measure(
                    count,
                    translator,
                    terms,
                    (source, target),
                    kind,
                    beam_size=beam_size,
                    prints_failures=arguments.failures,
                )
            body.append([kind, search_name(beam_size), *count.row()])
    print(markdown_table([*HEAD, *BLEU_HEAD], body))


def _pairs(drawn: dict[Pair, list[TermInSentence]], kind: str) -> list[tuple[Pair, list[TermInSentence]]]:
    if kind != KINDS[2]:
        return list(drawn.items())
    others = sorted({source for source, _ in drawn} - {PIVOT})
    return [
        ((source, target), drawn[source, PIVOT][:: len(others) - 1])
        for source in others
        for target in others
        if source != target
    ]


def _measure(
    count: Count,
    translator: OfflineTranslator,
    terms: Sequence[TermInSentence],
    pair: Pair,
    kind: str,
    *,
    beam_size: int,
    prints_failures: bool,
) -> None:
    random = Random(f"{SEED} {pair}")
    targets = [_target(each, kind, pair[1], random) for each in terms]
    plain = [each.text for each in translator.translate([each.sentence for each in terms], *pair, beam_size=beam_size)]
    texts = []
    for term, target, without in zip(terms, targets, plain, strict=True):
        glossary = Glossary({term.source: target}) if kind != KINDS[3] else None
        sentence = term.sentence.replace(term.source, target) if kind == KINDS[3] else term.sentence
        (translation,) = translator.translate([sentence], *pair, beam_size=beam_size, glossary=glossary)
        texts.append(translation.text)
        is_right = _has(translation.text, target)
        count.num_sentences += 1
        count.num_right += is_right
        count.num_without_glossary += _has(without, target)
        count.num_warned += translation.warnings is not None
        if prints_failures and not is_right:
            print(f"{pair} {term.source} -> {target}\n  {term.sentence}\n  {without}\n  {translation.text}")
    if kind != KINDS[2]:
        references = [each.reference for each in terms]
        with_terms = [
            each.reference.replace(each.translation, target) for each, target in zip(terms, targets, strict=True)
        ]
        count.bleu.append(bleu(texts, with_terms, language=pair[1]))
        count.bleu_without.append(bleu(plain, references, language=pair[1]))


def _target(term: TermInSentence, kind: str, language: str, random: Random) -> str:
    if kind == KINDS[0]:
        return term.translation
    return random.choice(UNKNOWN) if kind == KINDS[3] else made_up(term, language, random)


def _has(text: str, term: str) -> bool:
    return term.casefold() in text.casefold()


if __name__ == "__main__":
    main()
