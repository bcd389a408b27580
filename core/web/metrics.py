"""Figures for a monitoring program: what the core is doing, read at the moment they are asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from core.model.errors import LockerError
from core.web.parts import Parts


class Metrics:
    """The core's figures; requests are counted here, all else is read from the parts."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._registry = CollectorRegistry(auto_describe=False)
        self._requests = Counter(
            "locker_requests", "Requests answered, by their status's class.", ["status"], registry=self._registry
        )
        self._registry.register(_Services(parts))

    def count_request(self, status: int) -> None:
        """Note that a request was answered."""
        self._requests.labels(f"{status // 100}xx").inc()

    def exposition(self) -> bytes:
        """All figures in the text form that Prometheus reads."""
        return generate_latest(self._registry)


class _Services:
    """Reads the services' figures when they are asked for."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("locker_service_running", "Whether the service's child runs.", labels=["service"])
        memory = GaugeMetricFamily("locker_service_memory_bytes", "The child's memory.", labels=["service"])
        records = GaugeMetricFamily("locker_records", "Records held now.", labels=["service", "type"])
        for service in self._parts.services.list():
            up.add_metric([service.id], float(self._parts.children.state(service.id).name == "running"))
            memory.add_metric([service.id], float(self._parts.children.details(service.id).memory_bytes or 0))
            # A store that cannot be read is told on the dashboard; the other figures stay.
            with contextlib.suppress(LockerError), self._parts.reader(service.id) as reader:
                for type_name, count in reader.counts().items():
                    records.add_metric([service.id, type_name], float(count))
        pending = GaugeMetricFamily("locker_pending_calls", "Calls that are due later.")
        pending.add_metric([], float(len(self._parts.schedule.pending())))
        dead = GaugeMetricFamily("locker_dead_letters", "Events that their listener kept refusing.")
        dead.add_metric([], float(len(self._parts.events.dead_letters())))
        yield from (up, memory, records, pending, dead)
