"""What the pages ask the ledger: the figures of the home page, who an id is, and what a customer or a device did."""
