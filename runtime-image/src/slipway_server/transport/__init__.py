"""Sockets: HTTP/1.1 and gRPC. They frame, limit and time; they know no tensor and no model."""
