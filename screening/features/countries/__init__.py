"""Tables of address ranges, and the country of an address."""
