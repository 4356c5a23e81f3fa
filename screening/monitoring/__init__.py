"""Metrics for Prometheus, and alerts of the operator."""
