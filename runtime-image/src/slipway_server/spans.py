"""A span of OpenTelemetry for each request. The one importer of it; in the extra ``otel``.

Where spans go is told by OpenTelemetry's own variables, ``OTEL_EXPORTER_OTLP_ENDPOINT`` first.
"""

import time
from typing import TYPE_CHECKING, Final

from slipway.errors import Invalid
from slipway_server.observe import Request

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

_SERVICE: Final = "slipway"
_FLUSH_MS: Final = 2000
_SERVER_ERRORS: Final = (500, 503, 504, "INTERNAL", "UNAVAILABLE", "DEADLINE_EXCEEDED")


class Spans:
    """Makes a span of each request, a child of the client's if it sent ``traceparent``.

    Implements ``Observer``.
    """

    def __init__(self, exporter: "SpanExporter | None" = None) -> None:
        """Prepare.

        Args:
            exporter: where to; absent means OTLP over HTTP, in a thread of its own.

        Raises:
            Invalid: the packages are not installed.
        """
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import SERVICE_NAME, Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
        except ImportError as error:
            raise Invalid(
                "spans need more packages: install 'slipway-operator[otel]' beside the server"
            ) from error
        # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win over the name here.
        resource = Resource({SERVICE_NAME: _SERVICE}).merge(Resource.create())
        self._provider = TracerProvider(resource=resource)
        if exporter is None:
            self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        else:
            self._provider.add_span_processor(SimpleSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("slipway_server")
        self._propagator = TraceContextTextMapPropagator()

    def tell(self, request: Request) -> None:
        """See ``Observer.tell``."""
        from opentelemetry.trace import SpanKind, Status, StatusCode

        end = time.time_ns()
        parent = None
        if request.parent:
            parent = self._propagator.extract({"traceparent": request.parent})
        http = request.protocol == "http"
        span = self._tracer.start_span(
            f"{request.method} {request.path}".strip(),
            context=parent,
            kind=SpanKind.SERVER,
            start_time=end - int(request.seconds * 1e9),
            attributes={
                "http.response.status_code" if http else "rpc.response.status_code": request.code,
                "slipway.received_bytes": request.received,
                "slipway.sent_bytes": request.sent,
            },
        )
        if request.code in _SERVER_ERRORS:
            span.set_status(Status(StatusCode.ERROR))
        span.end(end)

    def close(self) -> None:
        """See ``Observer.close``: send what is left, for as long as a grace period allows."""
        self._provider.force_flush(_FLUSH_MS)
