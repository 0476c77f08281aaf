"""The inference server: one process, one verified ONNX model, every door its users speak.

``protocol`` turns bytes into arrays and back and decides nothing else; ``dataplane`` and
``batcher`` know arrays and no transport; ``transport`` knows sockets and no model; ``doors`` join
the two; ``engine`` alone knows ONNX Runtime. The package has no management API and loads nothing
but the artifact it was started for.
"""
