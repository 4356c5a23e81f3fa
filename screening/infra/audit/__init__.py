"""The audit log: its entries, their chain and its verification, and the search in them."""
