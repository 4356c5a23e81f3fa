"""Metrics for Prometheus, drift of what is scored, and alerts about both."""
