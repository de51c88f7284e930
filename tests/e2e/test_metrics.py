"""`/metrics` has the names and labels of the contract, no label that grows, and counters that outlive a worker."""

from pathlib import Path

import psutil
import pytest
from prometheus_client import Metric

from loadtests.bench.loopback import wait_until
from tests.support.client import NO_STORE, request_body
from tests.support.server import RunningServer

PREFIX = "kakehashi_"
SERIES: list[tuple[str, str, set[str]]] = [
    ("requests", "counter", {"endpoint", "outcome"}),
    ("refused", "counter", {"reason"}),
    ("request_duration_seconds", "histogram", {"endpoint", "stream"}),
    ("time_to_first_token_seconds", "histogram", set()),
    ("inter_token_latency_seconds", "histogram", set()),
    ("queue_time_seconds", "histogram", set()),
    ("encode_seconds", "histogram", {"worker"}),
    ("decode_step_seconds", "histogram", {"worker"}),
    ("batch_rows", "histogram", {"worker"}),
    ("requests_waiting", "gauge", set()),
    ("queue_tokens", "gauge", set()),
    ("rows_running", "gauge", {"worker"}),
    ("slots_free", "gauge", {"worker"}),
    ("source_tokens", "counter", set()),
    ("generated_tokens", "counter", set()),
    ("padding_tokens", "counter", set()),
    ("encoder_cache_requests", "counter", {"tier", "result"}),
    ("encoder_cache_bytes", "gauge", {"tier"}),
    ("encoder_cache_damaged", "counter", set()),
    ("encoder_cache_writes", "counter", {"result"}),
    ("redis_circuit_open", "gauge", {"operation"}),
    ("redis_seconds", "histogram", {"operation"}),
    ("coalesced", "counter", {"kind"}),
    ("worker_restarts", "counter", {"worker"}),
    ("build_info", "gauge", {"version", "model", "compute_type", "device", "isa"}),
    ("model_info", "gauge", {"model", "model_type", "compute_type", "fingerprint"}),
    ("kv_bytes", "gauge", {"worker"}),
    ("log_lines_dropped", "counter", set()),
    ("workers_ready", "gauge", set()),
    ("max_queue_tokens", "gauge", set()),
    ("cancelled_sentences", "counter", set()),
    ("worker_resident_memory_bytes", "gauge", {"worker"}),
    ("process_resident_memory_bytes", "gauge", set()),
    ("process_virtual_memory_bytes", "gauge", set()),
    ("process_cpu_seconds", "counter", set()),
    ("process_start_time_seconds", "gauge", set()),
    ("process_open_fds", "gauge", set()),
    ("process_max_fds", "gauge", set()),
]
FIRST_BUCKETS = {
    "time_to_first_token_seconds": 0.001,
    "inter_token_latency_seconds": 0.001,
    "queue_time_seconds": 0.001,
    "encode_seconds": 0.0005,
    "decode_step_seconds": 0.0005,
    "batch_rows": 1.0,
}
SECRETS = ("zeppelin", "metrics-request-id", "unheard-of-path")


@pytest.fixture(scope="module")
def families(server: RunningServer) -> dict[str, Metric]:
    headers = {"X-Request-ID": "metrics-request-id"}
    body = request_body("A zeppelin is in the sky.", "en", ["de", "fr"])
    for sent in (body, body | {"stream": True}, body | {"target_lang": "zeppelin"}, {"zeppelin": "zeppelin"}):
        server.client.post("/v1/translations", json=sent, headers=headers)
    server.client.get("/unheard-of-path/zeppelin", headers=headers, params={"zeppelin": "zeppelin"})
    server.client.get("/health/live")  # as the probe that runs beside each test does
    server.wait_idle()
    return server.metric_families()


@pytest.mark.parametrize(("name", "kind", "labels"), SERIES, ids=[name for name, *_ in SERIES])
def test_a_metric_of_the_contract_is_there(families: dict[str, Metric], name: str, kind: str, labels: set[str]) -> None:
    family = families[PREFIX + name]
    assert family.type == kind
    assert family.samples
    assert all(sample.labels.keys() - {"le"} == labels for sample in family.samples)


@pytest.mark.parametrize(("name", "first"), FIRST_BUCKETS.items(), ids=list(FIRST_BUCKETS))
def test_the_buckets_of_a_histogram_begin_where_the_contract_says(
    families: dict[str, Metric], name: str, first: float
) -> None:
    bounds = [float(sample.labels["le"]) for sample in families[PREFIX + name].samples if "le" in sample.labels]
    assert min(bounds) == first
    if name == "batch_rows":
        assert {bound for bound in bounds if bound != float("inf")} == {float(2**power) for power in range(9)}


def test_no_label_holds_a_text_an_id_or_an_address(server: RunningServer, families: dict[str, Metric]) -> None:
    values = {value for family in families.values() for sample in family.samples for value in sample.labels.values()}
    assert not any(secret in value for secret in SECRETS for value in values)
    assert not any(value.startswith(("tr-", "req-")) or "127.0.0.1" in value for value in values)
    series = sum(len(family.samples) for family in families.values())
    for number in range(5):
        server.client.get(f"/unheard-of-path/{number}", headers={"X-Request-ID": str(number)})
    assert sum(len(family.samples) for family in server.metric_families().values()) == series


def test_outcomes_are_those_of_the_contract(families: dict[str, Metric]) -> None:
    outcomes = {sample.labels["outcome"] for sample in families["kakehashi_requests"].samples}
    assert {"ok", "invalid"} <= outcomes <= {"ok", "refused", "cancelled", "timeout", "invalid", "error"}


@pytest.mark.parametrize("options", [{}, {"beam_size": 4}, {"seed": 1}], ids=["greedy", "beams", "sampled"])
def test_counters_grow_by_what_a_request_reports(server: RunningServer, options: dict[str, int]) -> None:
    names = ("generated_tokens_total", "coalesced_total", "request_duration_seconds_count", "queue_time_seconds_count")

    def counts() -> list[float]:
        return [server.metric(PREFIX + name) for name in names]

    before = counts()
    text, targets = "The ship is in the harbour.", ["de", "fr", "es"]
    usage = server.translate(text, "en", targets, headers=NO_STORE, **options)["usage"]
    expected = [usage["generated_tokens"], usage["encoder_cache_hits"], 1, 3]
    assert usage["encoder_cache_hits"] == 2
    wait_until(lambda: counts()[2] > before[2], "the request is counted")
    assert [after - then for after, then in zip(counts(), before, strict=True)][:2] == expected[:2]


def test_the_page_is_prometheus_text_of_this_build(server: RunningServer, families: dict[str, Metric]) -> None:
    answer = server.client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    (build,) = families["kakehashi_build_info"].samples
    model = server.model()
    assert build.value == 1
    assert build.labels["model"] == model["id"]
    for label in ("compute_type", "device", "isa"):
        assert build.labels[label] == model[label]


def test_every_metric_is_of_the_table_and_has_a_help(families: dict[str, Metric]) -> None:
    assert families.keys() == {PREFIX + name for name, *_ in SERIES}
    assert all(family.documentation for family in families.values())
    page = (Path(__file__).parents[2] / "docs" / "observability.md").read_text(encoding="utf-8")
    suffixed = {"counter": "_total", "gauge": "", "histogram": ""}
    assert [name for name, kind, _ in SERIES if f"`{PREFIX}{name}{suffixed[kind]}`" not in page] == []


def test_memory_slots_and_limits_are_what_the_server_has(server: RunningServer) -> None:
    model, metric = server.model(), server.metric
    assert metric("kakehashi_workers_ready") == model["workers"]
    assert metric("kakehashi_max_queue_tokens") == 100_000
    for number, worker in enumerate(sorted(server.workers(), key=lambda each: each.pid)):
        assert metric("kakehashi_kv_bytes", worker=str(number)) == model["kv_bytes"]
        assert worker.memory_info().rss / 4 < metric("kakehashi_worker_resident_memory_bytes", worker=str(number))
    rss = psutil.Process(server.process.pid).memory_info().rss
    assert metric("kakehashi_process_resident_memory_bytes") == pytest.approx(rss, rel=0.2)


def test_the_model_is_named_with_its_fingerprint(server: RunningServer, families: dict[str, Metric]) -> None:
    (info,) = families["kakehashi_model_info"].samples
    model = server.model()
    assert info.value == 1
    assert (info.labels["model"], info.labels["model_type"]) == (model["id"], model["model_type"])
    assert info.labels["compute_type"] == model["compute_type"]
    assert len(bytes.fromhex(info.labels["fingerprint"])) == 6


def test_sentences_that_nobody_waits_for_are_counted(small_server: RunningServer) -> None:
    def num_cancelled() -> float:
        return small_server.metric("kakehashi_cancelled_sentences_total")

    before = num_cancelled()
    with small_server.frozen():
        body = request_body(["One dog.", "Two dogs.", "Three dogs."], "en", "de", timeout_s=0.2)
        assert small_server.client.post("/v1/translations", json=body).status_code == 504
        assert num_cancelled() == before + 3
    small_server.translate("Four dogs.", "en", "de")
    assert num_cancelled() == before + 3


def test_counters_survive_the_death_of_a_worker(small_server: RunningServer) -> None:
    def counters() -> dict[tuple[str, ...], float]:
        families = server.metric_families().values()
        samples = [sample for each in families if each.type in ("counter", "histogram") for sample in each.samples]
        return {(sample.name, *map(str, sorted(sample.labels.items()))): sample.value for sample in samples}

    server = small_server
    server.stream("Five dogs in the sun.", "en", ["de", "fr"])
    server.wait_idle()
    before, restarts = counters(), server.metric("kakehashi_worker_restarts_total", worker="0")
    (fork_server,) = server.fork_servers()
    fork_server.suspend()
    server.workers()[0].kill()
    gone = ("kakehashi_workers_ready", "kakehashi_kv_bytes", "kakehashi_worker_resident_memory_bytes")
    wait_until(lambda: not any(map(server.metric, gone)), "the death shows")
    fork_server.resume()
    server.wait_ready()
    after = counters()
    assert [key for key, value in before.items() if after[key] < value] == []
    assert server.metric("kakehashi_worker_restarts_total", worker="0") == restarts + 1
    assert all(map(server.metric, gone))
