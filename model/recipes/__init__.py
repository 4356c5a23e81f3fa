"""Building blocks of the nets: trees as layers, ensembles, tail bins, cold start, calibration."""
