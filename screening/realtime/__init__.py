"""Transactions that are scored at once, for a payment system that waits for the answer."""
