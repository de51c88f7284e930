"""Merge the metrics of all apps on all replicas into one page, with the labels `replica` and `checkpoint`."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector


@dataclass(frozen=True, slots=True)
class Page:
    replica: str
    checkpoint: str
    text: str


def merge_pages(pages: Iterable[Page]) -> bytes:
    """Merge pages into the text exposition format, which lists every family once."""
    registry = CollectorRegistry()
    registry.register(_Fleet(list(pages)))
    return generate_latest(registry)


class _Fleet(Collector):
    def __init__(self, pages: list[Page]) -> None:
        self._pages = pages

    def collect(self) -> Iterator[Metric]:
        families: dict[str, Metric] = {}
        for page in self._pages:
            for family in text_string_to_metric_families(page.text):
                merged = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                for sample in family.samples:
                    labels = {**sample.labels, "replica": page.replica, "checkpoint": page.checkpoint}
                    merged.add_sample(sample.name, labels, sample.value)
        yield from families.values()
