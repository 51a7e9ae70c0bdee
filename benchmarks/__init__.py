"""Speed and memory, each figure beside its limit on the same machine in the same run (docs/performance.md)."""
