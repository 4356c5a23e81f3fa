"""Measures of detectors, and the baselines they are compared with."""
