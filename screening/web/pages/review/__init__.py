"""Pages on which people decide about flagged transactions."""
