"""Other optimizers on the same models, data and gates; each runs in an environment of its own."""
