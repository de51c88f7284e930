"""Typed access to the JSON files of a checkpoint. Errors name the file and the key."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path


class CheckpointError(Exception):
    """A checkpoint that cannot be served; the message names the file, the key or the tensor."""


@dataclass(frozen=True, slots=True)
class Fields:
    """One JSON object and the name of its file. A key whose value is null counts as absent."""

    file: str
    raw: Mapping[str, object]

    @classmethod
    def read(cls, path: Path) -> "Fields":
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise CheckpointError(f"{path}: no such file") from error
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{path}: not readable as JSON: {error}") from error
        if not isinstance(raw, dict):
            raise CheckpointError(f"{path}: not a JSON object")
        return cls(path.name, raw)

    def error(self, key: str, problem: str) -> CheckpointError:
        return CheckpointError(f"{self.file}: {key} {problem}")

    def has(self, key: str) -> bool:
        return self.raw.get(key) is not None

    def size(self, key: str) -> int:
        value = self._present(key)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self.error(key, f"is {value!r}, not a positive integer")
        return value

    def count(self, key: str, *, default: int) -> int:
        value = self.raw[key] if self.has(key) else default
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise self.error(key, f"is {value!r}, not zero or a positive integer")
        return value

    def token_id(self, key: str) -> int:
        """A token id, alone or in a list of one, as `generation_config.json` may have it."""
        value = self._present(key)
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        return self._token_id(key, value)

    def optional_token_id(self, key: str) -> int | None:
        return self.token_id(key) if self.has(key) else None

    def token_ids(self, key: str) -> tuple[int, ...]:
        return tuple(self._token_id(key, value) for value in self._list(key))

    def token_sequences(self, key: str) -> tuple[tuple[int, ...], ...]:
        """A list of lists of token ids, none of them empty."""
        sequences = self._list(key)
        for sequence in sequences:
            if not isinstance(sequence, list) or not sequence:
                raise self.error(key, f"has {sequence!r}, not a list of token ids")
        return tuple(
            tuple(self._token_id(key, value) for value in sequence)
            for sequence in sequences
            if isinstance(sequence, list)
        )

    def number(self, key: str, *, default: float) -> float:
        value = self.raw[key] if self.has(key) else default
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error(key, f"is {value!r}, not a number")
        return float(value)

    def flag(self, key: str, *, default: bool | None = None) -> bool:
        """Required when there is no default."""
        value = self._present(key) if default is None or self.has(key) else default
        if not isinstance(value, bool):
            raise self.error(key, f"is {value!r}, not true or false")
        return value

    def string(self, key: str) -> str:
        value = self._present(key)
        if not isinstance(value, str):
            raise self.error(key, f"is {value!r}, not a string")
        return value

    def optional_string(self, key: str) -> str | None:
        return self.string(key) if self.has(key) else None

    def strings(self, key: str) -> tuple[str, ...]:
        values = self._list(key)
        if not values or not all(isinstance(value, str) for value in values):
            raise self.error(key, f"is {self.raw[key]!r}, not a list of strings")
        return tuple(value for value in values if isinstance(value, str))

    def require(self, accepted: Mapping[str, Collection[object]]) -> None:
        """Refuse keys whose value is present but not implemented."""
        for key, values in accepted.items():
            if self.has(key) and self.raw[key] not in values:
                raise self.error(key, f"{self.raw[key]!r} is not implemented")

    def _present(self, key: str) -> object:
        if not self.has(key):
            raise self.error(key, "is missing")
        return self.raw[key]

    def _list(self, key: str) -> list[object]:
        value = self.raw[key] if self.has(key) else []
        if not isinstance(value, list):
            raise self.error(key, f"is {value!r}, not a list")
        return value

    def _token_id(self, key: str, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise self.error(key, f"has {value!r}, not a token id")
        return value
