"""Computes the features of a definition for rows."""
