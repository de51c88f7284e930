"""A real Prometheus takes the configuration, scrapes a running server, and has an answer to every query."""

import re
import subprocess
from collections.abc import Iterator
from itertools import count

import pytest

from loadtests.bench.loopback import wait_until
from tests.deploy.files import DEPLOY, ROOT, RULES, read_yaml, rules
from tests.deploy.prometheus_server import PrometheusServer, running_prometheus
from tests.deploy.queries import Query, dashboard_queries, panels
from tests.support.server import RunningServer

ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}
UNIT_TESTS = ROOT / "tests/deploy/alerts_test.yml"


@pytest.fixture(scope="module")
def prometheus(server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    """It has scraped the server between requests of all kinds, so that everything has a rate."""
    with running_prometheus(tmp_path_factory.mktemp("prometheus"), target_port=server.port) as prometheus:
        numbers = count()

        def has_rates() -> bool:
            send_traffic(server, next(numbers))
            return all(map(prometheus.query, ("kakehashi:requests_failed:ratio_rate5m > 0", "rate(up[1m])")))

        wait_until(has_rates, "Prometheus has rates of all kinds of requests")
        yield prometheus


def send_traffic(server: RunningServer, number: int) -> None:
    server.translate(f"The cat has {number} friends.", "en", ["de", "fr"])
    server.stream(f"The dog has {number} friends.", "en", "de")
    translate_too_late(server)


def translate_too_late(server: RunningServer) -> None:
    """While its workers stand still, a request misses a deadline that it could have met."""
    body = {"text": "Yes.", "source_lang": "en", "target_lang": "de", "timeout_s": 1}
    workers = server.workers()
    for worker in workers:
        worker.suspend()
    try:
        assert server.client.post("/v1/translations", json=body).status_code == 504
    finally:
        for worker in workers:
            worker.resume()


def promtool(*arguments: object) -> None:
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_accepts_the_configuration() -> None:
    promtool("check", "config", DEPLOY / "prometheus/prometheus.yml")


def test_promtool_accepts_the_rules() -> None:
    promtool("check", "rules", *RULES)


def test_the_rules_do_what_their_tests_say() -> None:
    promtool("test", "rules", UNIT_TESTS)


def test_every_alert_is_tested() -> None:
    cases = [case for test in read_yaml(UNIT_TESTS)["tests"] for case in test["promql_expr_test"]]
    fired = re.findall(r'alertname="(\w+)"', str([case.get("exp_samples") for case in cases]))
    assert set(fired) == ALERTS.keys()


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_how_grave_it_is_and_what_to_do(name: str) -> None:
    assert ALERTS[name]["labels"]["severity"] in {"critical", "warning"}
    assert ALERTS[name]["annotations"].keys() == {"summary", "description", "runbook"}
    assert all(ALERTS[name]["annotations"].values())


def test_the_server_is_scraped(prometheus: PrometheusServer, server: RunningServer) -> None:
    target = prometheus.targets()["kakehashi"]
    assert (target["health"], target["lastError"]) == ("up", "")
    assert target["scrapeUrl"] == f"{server.url}/metrics"


def test_every_rule_is_evaluated(prometheus: PrometheusServer) -> None:
    wait_until(lambda: all(rule["health"] != "unknown" for rule in prometheus.rules()), "all rules are evaluated")
    assert {rule["name"] for rule in prometheus.rules()} == {rule.get("alert") or rule["record"] for rule in rules()}
    assert all(rule["health"] == "ok" for rule in prometheus.rules())


@pytest.mark.parametrize("query", dashboard_queries(), ids=[query.place for query in dashboard_queries()])
def test_every_query_of_the_dashboard_has_an_answer(prometheus: PrometheusServer, query: Query) -> None:
    assert prometheus.query(query.expression)


@pytest.mark.parametrize("panel", panels(), ids=[panel["title"] for panel in panels()])
def test_a_legend_names_labels_of_the_answer(prometheus: PrometheusServer, panel: dict) -> None:
    expressions = {query.place: query.expression for query in dashboard_queries()}
    for target in panel["targets"]:
        answer = prometheus.query(expressions[f"dashboard: {panel['title']} {target['refId']}"])
        for label in re.findall(r"{{(\w+)}}", target["legendFormat"]):
            assert all(label in series["metric"] for series in answer)
