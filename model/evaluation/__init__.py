"""How detectors are measured, and the baselines they are compared with."""
