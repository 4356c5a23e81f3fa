"""Training data: files read, cleaned, split, summarized, and generated."""
