"""From a trained model to the best variant that was measured, or a reasoned no.

Runs as the optimization Job's four steps and, on a laptop, as ``optimize``. Promises: a pick is
never outside a gate, never slower than fp32 by its upper bound, and every refusal says why.
"""
