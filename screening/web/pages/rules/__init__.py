"""Pages of rules, and of the lists that they name."""
