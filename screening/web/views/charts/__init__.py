"""Charts: their geometry, worked out on the server, and those of single pages."""
