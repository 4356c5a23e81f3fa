"""Prepare the data of templates: contexts, formatting, charts."""
