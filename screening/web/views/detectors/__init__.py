"""Detectors as pages show them: who may use them, their columns, their cards and the tests on these."""
