"""The process that runs jobs of every kind."""
