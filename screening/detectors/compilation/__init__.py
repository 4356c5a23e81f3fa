"""Nets compiled for the runtime, and the cache that keeps them."""
