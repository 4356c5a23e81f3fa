"""The language of rules: text becomes one typed tree, and the tree a function of a row and SQL. No code runs."""
