"""LibreTranslate's key is a field of the request. A missing key and a wrong key are different errors."""

from typing import Any

from service.api.api_keys import ApiKey, ApiKeys
from service.api.errors import InvalidRequestError, KeyRefusedError


def check_key(keys: ApiKeys, presented: Any) -> ApiKey | None:
    """Return the key, or None if no key is required.

    Raises InvalidRequestError for a missing key and KeyRefusedError for a wrong one.
    """
    if not keys.is_required:
        return None
    if presented is None or presented == "":
        raise InvalidRequestError("Please contact the server operator to get an API key")
    key = keys.find(str(presented))
    if key is None:
        raise KeyRefusedError("Invalid API key")
    return key
