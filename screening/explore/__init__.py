"""Answer the questions of the pages from the ledger: the figures of the home page, who an id is, and what a customer or
a device did.
"""
