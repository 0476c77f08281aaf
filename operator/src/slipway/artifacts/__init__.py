"""What an optimization leaves behind, where it lies, and the stores that hold it."""
