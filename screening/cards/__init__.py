"""Payment card numbers: how they are found, how sure that is, how they are hidden, and what takes their place."""
