"""Which features there are, and what was chosen and learned about them; nothing is computed here."""
