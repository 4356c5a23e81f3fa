"""Probabilities and what is said of them: flags, reason codes, caveats, drift, metrics."""
