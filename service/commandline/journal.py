"""The journal of a run's translations, from which a run that was killed can resume.

Each line is a JSON object: the key of a text under the options of the run, and its translations by target. A text
counts as done once its line is written whole. A line that a kill cut short is dropped.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from service.commandline.lines import TranslateTexts, Translations

NAME = ".kakehashi-journal.jsonl"


class Journal:
    """The journal of one output directory. `close` it at the end, and `remove` it once all files are written."""

    def __init__(self, path: Path, *, options: object, resume: bool) -> None:
        """`options` is JSON and holds everything that decides a translation besides its text.

        Without `resume` the journal begins empty.
        """
        self._path = path
        self._options = json.dumps(options, sort_keys=True).encode()
        self._known: dict[str, Translations] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: BinaryIO = path.open("r+b" if resume and path.exists() else "w+b", buffering=0)
        end = self._load()
        self._file.truncate(end)
        self._file.seek(end)

    @property
    def num_known(self) -> int:
        return len(self._known)

    async def translate(
        self, texts: Sequence[str], translate: TranslateTexts, *, text_format: str = "text"
    ) -> list[Translations]:
        """The translations of `texts`. Those that the journal lacks come from `translate` and are recorded."""
        keys = [self._key(text, text_format) for text in texts]
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._known}
        if missing:
            found = dict(zip(missing, await translate(list(missing.values())), strict=True))
            self._note(found)
        return [self._known[key] for key in keys]

    def close(self) -> None:
        self._file.close()
        if not self._known:
            self.remove()

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)

    def _load(self) -> int:
        """Load the known translations. Returns the offset at which the last whole line ends."""
        end = 0
        for line in self._file:
            try:
                entry = json.loads(line)
            except ValueError:
                break
            if not line.endswith(b"\n"):
                break
            self._known[entry["key"]] = tuple(entry["translations"])
            end += len(line)
        return end

    def _note(self, found: dict[str, Translations]) -> None:
        entries = ({"key": key, "translations": translations} for key, translations in found.items())
        data = memoryview("".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries).encode())
        while data:
            data = data[os.write(self._file.fileno(), data) :]
        self._known |= found

    def _key(self, text: str, text_format: str) -> str:
        return hashlib.sha256(b"\0".join((self._options, text_format.encode(), text.encode()))).hexdigest()
