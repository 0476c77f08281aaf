"""Every decision of the operator. Pure: no I/O, no clock, no randomness, no logging."""
