"""Define the features, with what was chosen and learned about them; nothing is computed here."""
