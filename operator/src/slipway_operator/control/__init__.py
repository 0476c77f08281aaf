"""The loop: queue, workers, reconcile (observe -> plan -> execute), leadership, health."""
