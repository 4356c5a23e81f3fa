"""Understand the columns of a file: their roles, their match with a detector's, whether they leak the label."""
