"""The JSON encoder of all answers and events."""

import msgspec
from starlette.responses import Response

encode_json = msgspec.json.encode


class JsonResponse(Response):
    """`content` is any value that msgspec encodes."""

    media_type = "application/json"

    def render(self, content: object) -> bytes:
        return encode_json(content)
