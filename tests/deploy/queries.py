"""Every PromQL expression under deploy/, and the metrics and labels that each names."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import promql_parser
import yaml

from tests.deploy.files import DEPLOY, KUBERNETES, read_json, read_yaml, rules

DASHBOARD = DEPLOY / "grafana/dashboards/kakehashi.json"
VARIABLES = {"$__rate_interval": "1m", "$job": "kakehashi", "$instance": ".+"}
TEMPLATE = {"<<.Series>>": "kakehashi_queue_tokens", "<<.LabelMatchers>>": 'pod="a"', "<<.GroupBy>>": "pod"}


@dataclass(frozen=True, slots=True)
class Query:
    place: str
    expression: str


@dataclass(frozen=True, slots=True)
class Selector:
    metric: str
    labels: frozenset[str]


def selectors(expression: str) -> list[Selector]:
    found: list[Selector] = []

    def visit(node: Any) -> bool:
        if isinstance(node, promql_parser.MatrixSelector):
            node = node.vector_selector
        if isinstance(node, promql_parser.VectorSelector):
            found.append(Selector(str(node.name), frozenset(matcher.name for matcher in node.matchers.matchers)))
        return True

    promql_parser.walk(promql_parser.parse(expression), visit)
    return list(dict.fromkeys(found))


def panels() -> list[dict[str, Any]]:
    return [panel for panel in read_json(DASHBOARD)["panels"] if panel["type"] != "row"]


def dashboard_queries() -> list[Query]:
    return [
        Query(f"dashboard: {panel['title']} {target['refId']}", _substituted(target["expr"], VARIABLES))
        for panel in panels()
        for target in panel["targets"]
    ]


def rule_queries() -> list[Query]:
    return [Query(f"rule: {rule.get('alert') or rule['record']}", rule["expr"]) for rule in rules()]


def autoscaler_queries() -> Iterator[Query]:
    autoscaler = read_yaml(KUBERNETES / "base/horizontalpodautoscaler.yaml")
    for metric in autoscaler["spec"]["metrics"]:
        yield Query("autoscaler", metric["pods"]["metric"]["name"])
    for rule in adapter_rules():
        yield Query("adapter: series", rule["seriesQuery"])
        yield Query("adapter: metric", _substituted(rule["metricsQuery"], TEMPLATE))


def adapter_rules() -> list[dict[str, Any]]:
    config = read_yaml(KUBERNETES / "prometheus-adapter.yaml")["data"]["config.yaml"]
    found: list[dict[str, Any]] = yaml.safe_load(config)["rules"]
    return found


def all_queries() -> list[Query]:
    return [*dashboard_queries(), *rule_queries(), *autoscaler_queries()]


def recorded_names() -> set[str]:
    return {rule["record"] for rule in rules() if "record" in rule}


def _substituted(expression: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        expression = expression.replace(name, value)
    return expression
