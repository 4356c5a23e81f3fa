"""Fraud screening: transactions in, flags out. docs/index.md describes the rooms of this package."""
