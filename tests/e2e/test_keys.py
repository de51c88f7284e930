"""A server with keys and an origin, as it is deployed: keys from a file, and none of them in its log."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from loadtests.bench.loopback import TIME_LIMIT_SECONDS, wait_until
from tests.support import commandline
from tests.support.client import read_events, request_body
from tests.support.problems import check_problem
from tests.support.server import RunningServer, running_server

KEY, ORIGIN = "s3cret:schlüssel", "https://page.example"
RIGHT = {b"Authorization": f"bearer {KEY}".encode()}
BODY = request_body("Hello.", "en", "de")


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "keys"
    path.write_text(f"# who translates\nalice:{KEY}\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def keyed(random_checkpoint: Path, key_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    directory = tmp_path_factory.mktemp("keyed")
    settings = {"MODEL": random_checkpoint, "WORKERS": 1, "LOG_LEVEL": "debug", "LOG_TEXTS": "true"}
    keys = {"API_KEYS_FILE": key_file, "CORS_ORIGINS": ORIGIN}
    with running_server(directory, settings | keys) as server:
        server.client.headers = httpx.Headers(RIGHT)  # also of what waits for an idle server
        yield server


def without_key(server: RunningServer) -> httpx.Client:
    return httpx.Client(base_url=server.url, headers={"Origin": ORIGIN}, timeout=TIME_LIMIT_SECONDS, trust_env=False)


def test_the_native_api_needs_a_key_and_health_does_not(keyed: RunningServer) -> None:
    with without_key(keyed) as client:
        for wrong in ({}, {"Authorization": "Bearer wr0ng"}, {b"Authorization": b"Bearer " + KEY.encode("latin-1")}):
            answer = client.post("/v1/translations", json=BODY, headers=wrong)
            check_problem(answer, 401, "unauthorized")
            assert answer.headers["www-authenticate"] == "Bearer"
            assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert [client.get(path).status_code for path in ("/health/live", "/health/ready", "/metrics")] == [200] * 3
    assert keyed.client.post("/v1/translations", json=BODY).status_code == 200


def test_a_command_has_its_key_from_the_environment(keyed: RunningServer, tmp_path: Path) -> None:
    for key, status in ((KEY, 0), ("wr0ng", 1)):
        settings = {"KAKEHASHI_API_KEY": key}
        done = commandline.run(
            "translate", "--to", "de", "Hello.", "--url", keyed.url, directory=tmp_path, settings=settings
        )
        assert done.returncode == status
        assert (b"Give a key with --api-key or in KAKEHASHI_API_KEY" in done.stderr) == (status == 1)


def test_a_page_of_the_origin_reads_a_stream(keyed: RunningServer) -> None:
    headers = {"Origin": ORIGIN, "Content-Encoding": "gzip"}
    body = gzip.compress(json.dumps(BODY | {"stream": True}).encode())
    with keyed.client.stream("POST", "/v1/translations", content=body, headers=headers) as answer:
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, ORIGIN)
        assert [event.name for event in read_events(answer)][-1] == "done"


def test_the_log_has_the_name_of_the_key_and_never_a_key(keyed: RunningServer) -> None:
    with without_key(keyed) as client:
        client.get("/v1/models", headers={"Authorization": "Bearer wr0ng", "X-Request-ID": "id-wrong"})
    keyed.client.get("/v1/models", headers={"X-Request-ID": "id-right"})
    wait_until(lambda: "id-wrong" in keyed.log and "id-right" in keyed.log, "the requests are logged")
    entries = [json.loads(line) for line in keyed.log.splitlines()]
    names = {entry["request_id"]: entry.get("key") for entry in entries if entry["message"] == "request"}
    assert (names["id-right"], names["id-wrong"]) == ("alice", None)
    assert not any(secret in keyed.log for secret in ("s3cret", "an0ther", "wr0ng", "chlüssel", "chl\\u00fcssel"))


def test_a_key_is_added_limited_and_revoked_without_a_restart(keyed: RunningServer, key_file: Path) -> None:
    def status() -> int:
        headers = {"Authorization": "Bearer an0ther"}
        with without_key(keyed) as client:
            return client.post("/v1/translations", json=BODY, headers=headers).status_code

    first = key_file.read_text(encoding="utf-8")
    key_file.write_text(f"{first}bob:an0ther requests=3\n", encoding="utf-8")
    wait_until(lambda: status() == 200, "the new key is known")
    wait_until(lambda: status() == 429, "its minute is used up")
    key_file.write_text(first, encoding="utf-8")
    wait_until(lambda: status() == 401, "it is revoked")
