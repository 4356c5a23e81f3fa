"""The job that makes a detector of a labelled file."""
