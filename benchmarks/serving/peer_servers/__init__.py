"""Each peer as its documentation sets it up for one CPU pod; run in an environment of its own.

A program gets ``BENCH_MODELS`` (``name=path`` pairs, comma-separated), ``BENCH_HTTP`` and
``BENCH_GRPC`` (ports), and ``BENCH_THREADS`` (of one run of a model).
"""
