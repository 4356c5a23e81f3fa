"""The line of one file: its rows are read, scored and explained, and what was found is left beside it."""
