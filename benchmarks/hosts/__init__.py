"""Two hosts that answer and two that do jobs, killed and cut off under load: ``python -m benchmarks.hosts``."""
