"""A server's `GET /metrics` at one moment."""

from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample


@dataclass(frozen=True, slots=True)
class MetricsPage:
    samples: tuple[Sample, ...]

    @classmethod
    def of(cls, page: str) -> "MetricsPage":
        return cls(tuple(sample for family in text_string_to_metric_families(page) for sample in family.samples))

    def sum(self, name: str, **labels: str) -> float:
        """Over all series of this name that have these labels; 0 where there is none."""
        return sum(each.value for each in self.samples if each.name == name and labels.items() <= each.labels.items())
