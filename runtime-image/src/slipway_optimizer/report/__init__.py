"""What the optimizer leaves for people and tools: report.json and report.md."""
