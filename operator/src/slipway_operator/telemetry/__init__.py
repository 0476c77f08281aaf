"""Numbers in (scrapes of server pods) and numbers out (the operator's own metrics)."""
