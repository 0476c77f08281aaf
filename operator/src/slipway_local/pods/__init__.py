"""Pods: one kubelet over two engines, simulated containers and real processes."""
