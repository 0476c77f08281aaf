"""HTTP/2 for gRPC, ours: every module but ``protocol`` and ``server`` is pure, bytes in, bytes out.

It promises that no call which a client saw as accepted is lost when a connection ends, and that
whatever a peer sends costs only its own connection, and of that a bounded part.
"""
