"""What is written of a trained detector: its files and its model card."""
