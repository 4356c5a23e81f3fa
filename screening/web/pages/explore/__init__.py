"""Pages over the ledger: the search of the bar, one decision, one customer, card or device."""
