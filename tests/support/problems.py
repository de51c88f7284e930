"""Send requests that are refused, and check the problem in the answer."""

import json
from typing import Any

import httpx
import pytest

from tests.support.server import RunningServer

JSON = {"Content-Type": "application/json"}
EITHER_WAY = pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])


def check_problem(answer: httpx.Response, status: int, slug: str) -> dict[str, Any]:
    problem: dict[str, Any] = answer.json()
    assert (answer.status_code, problem["status"]) == (status, status), problem
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["type"] == f"urn:kakehashi:problem:{slug}"
    assert problem["title"]
    assert problem["detail"]
    assert problem["request_id"] == answer.headers["x-request-id"]
    return problem


def post(server: RunningServer, body: dict[str, Any]) -> httpx.Response:
    return server.client.post("/v1/translations", content=json.dumps(body).encode(), headers=JSON)
