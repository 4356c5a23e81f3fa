"""Opens the files of a detector safely: read once, hash compared, and only then looked into."""
