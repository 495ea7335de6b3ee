//! Delivery: OTLP bytes, OTLP over gRPC and HTTP, the Prometheus endpoint.
