"""Write a trained detector: its files and its model card."""
