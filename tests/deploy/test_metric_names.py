"""The metrics in the dashboard, the rules and the autoscaler are those of a running server."""

from collections import defaultdict

import pytest

from tests.deploy.files import rules
from tests.deploy.queries import (
    Query,
    adapter_rules,
    all_queries,
    autoscaler_queries,
    panels,
    recorded_names,
    selectors,
)
from tests.support.server import RunningServer

PROMETHEUS_ADDS = {"job", "instance", "namespace", "pod"}
QUERIES = all_queries()


@pytest.fixture(scope="module")
def exposed(server: RunningServer) -> dict[str, set[str]]:
    """The labels of each metric."""
    server.translate("The cat is on the table.", "en", ["de", "fr"])
    server.stream("The dog is under the table.", "en", "de")
    found: dict[str, set[str]] = defaultdict(set)
    for family in server.metric_families().values():
        for sample in family.samples:
            found[sample.name] |= sample.labels.keys()
    return found


@pytest.mark.parametrize("query", QUERIES, ids=[query.place for query in QUERIES])
def test_every_metric_that_a_query_names_exists(exposed: dict[str, set[str]], query: Query) -> None:
    found = selectors(query.expression)
    assert found
    for selector in found:
        assert selector.metric in {"up", *exposed, *recorded_names()}


@pytest.mark.parametrize("query", QUERIES, ids=[query.place for query in QUERIES])
def test_every_label_that_a_query_names_exists(exposed: dict[str, set[str]], query: Query) -> None:
    for selector in selectors(query.expression):
        if selector.metric in exposed:
            assert selector.labels <= exposed[selector.metric] | PROMETHEUS_ADDS


def test_every_recorded_name_is_asked_for() -> None:
    asked = {selector.metric for query in QUERIES for selector in selectors(query.expression)}
    assert recorded_names() <= asked


def test_the_adapter_gives_the_autoscaler_its_metric() -> None:
    wanted = {selector.metric for query in autoscaler_queries() for selector in selectors(query.expression)}
    (rule,) = adapter_rules()
    assert wanted == {selector.metric for selector in selectors(rule["seriesQuery"])}
    assert rule["name"] == {"matches": f"^({wanted.pop()})$", "as": "$1"}
    assert {label for selector in selectors(rule["seriesQuery"]) for label in selector.labels} == {"namespace", "pod"}


def test_the_rules_go_by_the_job_that_is_scraped() -> None:
    jobs = {rule["expr"] for rule in rules() if "job=" in rule["expr"]}
    assert jobs == {'up{job="kakehashi"} == 0'}


@pytest.mark.parametrize("panel", panels(), ids=[panel["title"] for panel in panels()])
def test_a_panel_has_a_unit_a_description_and_its_data_source_by_variable(panel: dict) -> None:
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["description"].endswith(".")
    sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
    assert all(source == {"type": "prometheus", "uid": "${datasource}"} for source in sources)
