"""``GET /metrics``: counts, times and levels of the local API, as Prometheus reads them."""

from __future__ import annotations

from collections import Counter as Count
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from app.api.endpoint import Endpoint
from app.api.traffic import LivePhase, LoggedRequest, Traffic
from engine.reuse import KvUsage

_FIRST_TOKEN_S = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 180.0)
_TOKENS_PER_S = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)
_GONE = "499"
"""What is counted, as by nginx, where a client went away before there was a status."""


class Metrics:
    """Counts from its making on, over every start of the server. Thread: the event loop's."""

    def __init__(self, traffic: Traffic) -> None:
        self._registry = CollectorRegistry()
        self._levels = _Levels(traffic)
        self._registry.register(self._levels)
        self._requests = self._counter("hearth_requests", "HTTP requests.", "surface", "endpoint", "status")
        self._prompt_tokens = self._counter("hearth_prompt_tokens", "Tokens of prompts.", "surface")
        self._cached_tokens = self._counter(
            "hearth_cached_prompt_tokens", "Tokens of prompts that were in the KV cache already.", "surface"
        )
        self._output_tokens = self._counter("hearth_output_tokens", "Tokens of answers.", "surface")
        self._first_token = self._histogram(
            "hearth_time_to_first_token_seconds",
            "From a request's arrival to its first token, the loading of a model included.",
            _FIRST_TOKEN_S,
        )
        self._speed = self._histogram(
            "hearth_output_tokens_per_second", "How fast an answer was written after its first token.", _TOKENS_PER_S
        )

    def watch(self, n_loaded: Callable[[], int], kv: Callable[[], Iterable[tuple[str, KvUsage]]]) -> None:
        """How many models are loaded, and what the KV cache of each takes, from now on."""
        self._levels.n_loaded, self._levels.kv = n_loaded, kv

    def count(self, request: LoggedRequest, route: str | None) -> None:
        """``route`` is the path as the router knows it: there are few of those, and clients cannot make more."""
        surface = request.surface.value
        status = _GONE if request.status is None else str(request.status)
        self._requests.labels(surface, route or "other", status).inc()
        self._prompt_tokens.labels(surface).inc(request.n_prompt)
        self._cached_tokens.labels(surface).inc(request.n_cached)
        self._output_tokens.labels(surface).inc(request.n_output)
        if request.first_token_s is not None:
            self._first_token.labels(surface).observe(request.first_token_s)
        if request.tokens_per_s is not None:
            self._speed.labels(surface).observe(request.tokens_per_s)

    def endpoint(self) -> Endpoint:
        return Endpoint(
            "GET",
            "/metrics",
            self._show,
            "Counts and levels, for Prometheus.",
            "Hearth",
            answer=str,
            answer_type="text/plain",
        )

    async def _show(self, request: Request) -> Response:
        return Response(generate_latest(self._registry), headers={"content-type": CONTENT_TYPE_PLAIN_0_0_4})

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(name, what, labels, registry=self._registry)

    def _histogram(self, name: str, what: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, what, ("surface",), buckets=buckets, registry=self._registry)


class _Levels(Collector):
    """What is true just now, looked up when somebody asks."""

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self.n_loaded: Callable[[], int] = lambda: 0
        self.kv: Callable[[], Iterable[tuple[str, KvUsage]]] = tuple

    def collect(self) -> Iterator[Metric]:
        yield self._live()
        yield GaugeMetricFamily("hearth_loaded_models", "Models in memory.", self.n_loaded())
        kv_bytes = GaugeMetricFamily("hearth_kv_bytes", "What KV caches take, by tier.", labels=("model", "tier"))
        budget = GaugeMetricFamily("hearth_kv_budget_bytes", "What they may take.", labels=("model", "tier"))
        used = GaugeMetricFamily("hearth_kv_cells_used", "Cells of KV caches in use.", labels=("model",))
        total = GaugeMetricFamily("hearth_kv_cells", "Cells of KV caches.", labels=("model",))
        for model, usage in self.kv():
            kv_bytes.add_metric((model, "ram"), usage.ram_bytes)
            kv_bytes.add_metric((model, "disk"), usage.disk_bytes)
            budget.add_metric((model, "ram"), usage.ram_budget_bytes)
            budget.add_metric((model, "disk"), usage.disk_budget_bytes)
            used.add_metric((model,), usage.cells_used)
            total.add_metric((model,), usage.n_cells)
        yield from (kv_bytes, budget, used, total)

    def _live(self) -> Metric:
        family = GaugeMetricFamily("hearth_live_requests", "Requests that are being answered.", labels=("phase",))
        counts = Count(request.phase for request in self._traffic.snapshot().live)
        for phase in LivePhase:
            family.add_metric((phase.value,), counts[phase])
        return family
