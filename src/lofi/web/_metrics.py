"""Figures for Prometheus: requests as they are answered, the studio's as they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPMethod

from fastapi import APIRouter, Request
from fastapi.responses import Response
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from lofi import __version__
from lofi.studio import Studio, figures, jobs
from lofi.web._route import Route
from lofi.web._who import Reader

router = APIRouter(tags=["studio"], route_class=Route)

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """A registry of its own, so that two apps in a process do not count for each other."""

    def __init__(self, studio: Studio) -> None:
        self.registry = CollectorRegistry()
        self._requests = Histogram(
            "lofi_http_request_seconds",
            "Seconds from a request to its answer.",
            ("method", "route", "status"),
            registry=self.registry,
            buckets=_SECONDS,
        )
        self.registry.register(_OfTheStudio(studio))

    def note(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request, under its route and not its path: of paths there is no end."""
        known = method if method in HTTPMethod.__members__ else "other"
        self._requests.labels(known, route, str(status)).observe(seconds)


class _OfTheStudio:
    """Reads the tables when Prometheus asks."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio

    def describe(self) -> Iterator[Metric]:
        """Nothing: registering must not read the database."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """The figures now."""
        studio = self._studio
        with studio.database.read() as session:
            states = jobs.counts(session)
            stages = figures.stage_seconds(session)
            workers = figures.workers(session, studio.base.work.dead_after_s)
        stored = figures.stored_bytes(studio)
        yield InfoMetricFamily("lofi", "What runs.", {"version": __version__})
        in_state = GaugeMetricFamily("lofi_jobs", "Jobs in each state.", labels=["state"])
        for state in jobs.STATES:
            in_state.add_metric([state], states.get(state, 0))
        yield in_state
        spent = SummaryMetricFamily(
            "lofi_stage_seconds", "Seconds of finished stages.", labels=["stage"]
        )
        for name, (count, seconds) in stages.items():
            spent.add_metric([name], count, seconds)
        yield spent
        hits = CounterMetricFamily("lofi_cache_hits", "Answers from the cache.", labels=["topic"])
        misses = CounterMetricFamily("lofi_cache_misses", "Answers made anew.", labels=["topic"])
        for topic, (hit, missed) in studio.cache.counts().items():
            hits.add_metric([topic], hit)
            misses.add_metric([topic], missed)
        yield hits
        yield misses
        yield GaugeMetricFamily("lofi_storage_bytes", "Bytes of all recorded files.", stored)
        alive = sum(worker["alive"] for worker in workers)
        yield GaugeMetricFamily("lofi_workers_alive", "Workers that beat.", alive)


@router.get(
    "/api/metrics",
    summary="Figures for Prometheus",
    response_class=Response,
    responses={
        200: {
            "description": "The text format of Prometheus.",
            "content": {"text/plain": {"example": 'lofi_jobs{state="queued"} 3.0\n'}},
        }
    },
)
@router.get("/metrics", include_in_schema=False)
def metrics(request: Request, who: Reader) -> Response:
    """Requests by route, jobs by state, seconds of stages, the cache, the storage and workers.

    The same stands at `/metrics`. Where a token is needed, give Prometheus one with the scope
    `read` (`authorization: {credentials: lofi_…}`).
    """
    registry: CollectorRegistry = request.app.state.metrics.registry
    return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})
