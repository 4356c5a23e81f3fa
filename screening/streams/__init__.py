"""Transactions of a Kafka topic: decided as the API decides them, and answered in another topic."""
