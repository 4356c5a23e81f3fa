"""Detectors that score, afterwards, what another one has decided on, so that the two can be compared."""
