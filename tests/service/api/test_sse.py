"""Laws of the wire format."""

import json

import httpx_sse

from service.api.sse import encode_event, encode_json


def test_an_event_is_one_event_to_any_client_whatever_is_in_it():
    data = {"text": "a\u2028b\u2029c\x85d\ne\rf"}
    block = encode_event("token", encode_json(data)).decode()
    assert len(block.splitlines()) == 3
    decoder = httpx_sse._decoders.SSEDecoder()
    events = [event for line in block.splitlines() if (event := decoder.decode(line))]
    assert [(event.event, json.loads(event.data)) for event in events] == [("token", data)]
