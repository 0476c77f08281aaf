"""Protocol buffers of the gRPC door, made by ``generate.py`` from the ``.proto`` files here."""
