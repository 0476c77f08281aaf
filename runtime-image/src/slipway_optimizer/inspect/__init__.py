"""``slipway inspect``: what a model file is, and the resource for it. Runs nothing of the file."""
