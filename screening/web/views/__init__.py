"""What templates are given: contexts, formatting, charts."""
