"""Detectors: a net, a vectorizer and a model card that belong together."""
