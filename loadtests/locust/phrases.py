"""Words and sentences of one language, drawn at random."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

PHRASES = Path(__file__).parent / "data" / "phrases.toml"
FIRST_HOUR, LAST_HOUR = 6, 22
MAX_NUMBER = 99


@dataclass(frozen=True, slots=True)
class Phrases:
    time: str
    between_sentences: str
    names: Sequence[str]
    days: Sequence[str]
    places: Sequence[str]
    things: Sequence[str]
    words: Sequence[str]
    templates: Sequence[str]

    def sentence(self, random: Random) -> str:
        name, other = random.sample(self.names, 2)
        hour, minute = random.randint(FIRST_HOUR, LAST_HOUR), random.randrange(60)
        sentence = random.choice(self.templates).format(
            name=name,
            other=other,
            number=random.randint(2, MAX_NUMBER),
            time=self.time.format(hour=hour, minute=minute),
            day=random.choice(self.days),
            place=random.choice(self.places),
            things=random.choice(self.things),
        )
        return sentence[0].upper() + sentence[1:]

    def counted_things(self, random: Random) -> str:
        """A phrase for when the single words are used up."""
        return f"{random.randint(2, MAX_NUMBER)} {random.choice(self.things)}"


def read_phrases(path: Path = PHRASES) -> dict[str, Phrases]:
    """The phrases of every language."""
    with path.open("rb") as file:
        tables = tomllib.load(file)
    return {language: Phrases(**table) for language, table in tables.items()}
