"""One uploaded file from its arrival to its results, exports and deletion."""
