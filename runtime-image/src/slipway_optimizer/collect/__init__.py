"""``slipway dataset``: makes and checks the ``.npz`` that judges a model."""
