"""Lists of any length that are cheap to refuse: their first errors are described, and all further ones are counted.

pydantic takes a second to describe the errors of a megabyte of wrong items.
"""

from collections.abc import Callable
from typing import Any

from pydantic import ValidationError, WrapValidator
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

CHUNK_ITEMS = 256
FURTHER_ERRORS = "further_errors"
"""The type of the error that stands for those that are not described."""


def _validate_in_chunks(items: object, validate: Callable[[object], list[Any]]) -> list[Any]:
    if not isinstance(items, list) or len(items) <= CHUNK_ITEMS:
        return validate(items)
    valid: list[Any] = []
    described: list[InitErrorDetails] = []
    num_further = 0
    for start in range(0, len(items), CHUNK_ITEMS):
        try:
            valid += validate(items[start : start + CHUNK_ITEMS])
        except ValidationError as error:
            if len(described) < CHUNK_ITEMS:
                described += [_moved(details, start) for details in error.errors(include_url=False)]
            else:
                num_further += error.error_count()
    if num_further:
        further = PydanticCustomError(FURTHER_ERRORS, "further errors", {"num_errors": num_further})
        described.append(InitErrorDetails(type=further, input=None))
    if described:
        raise ValidationError.from_exception_data("list", described)
    return valid


def _moved(details: ErrorDetails, start: int) -> InitErrorDetails:
    """The error of an item of the chunk that begins at `start`, located in the whole list."""
    index, *rest = details["loc"]
    assert isinstance(index, int)
    return InitErrorDetails(
        type=PydanticCustomError(details["type"], details["msg"]), loc=(start + index, *rest), input=None
    )


VALIDATE_IN_CHUNKS = WrapValidator(_validate_in_chunks)


def num_errors_of(details: ErrorDetails) -> int:
    """The number of errors that an error stands for."""
    return int(details["ctx"]["num_errors"]) if details["type"] == FURTHER_ERRORS else 1
