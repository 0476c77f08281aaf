"""One codec per door. Pure: bytes in, arrays out, and back; ``Invalid`` for bad input."""
