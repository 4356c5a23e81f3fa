"""How the nets are made: trees as layers, ensembles, tail bins, cold start, calibration."""
