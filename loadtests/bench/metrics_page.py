"""A snapshot of a server's `GET /metrics`."""

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
        """The sum of all series with this name and these labels; 0 if there are none."""
        return sum(each.value for each in self.samples if each.name == name and labels.items() <= each.labels.items())
