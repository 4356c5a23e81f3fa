"""Questions about a file before it is scored, and their answers: its detector, columns, amounts and card numbers."""
