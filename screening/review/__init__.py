"""Cases: what people decide about flagged transactions, and how the work is shared."""
