"""The workshop: makes detectors. Needs requirements-train.txt; nothing here is imported when the app serves."""
