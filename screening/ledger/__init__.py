"""The history of transactions that velocity features read."""
