"""Transactions as the scoring takes them: the contract of columns, cells as numbers, JSON records."""
