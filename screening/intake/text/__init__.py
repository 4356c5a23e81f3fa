"""Text tables: their dialect, their records, and their cells as numbers."""
