"""The velocity state: transactions of the API that count as the past of later ones, known to every process at once.

Raw rows are kept by entity, not counts: the features of a transaction are computed of them by the function that
computes a file's, so both get the same numbers.
"""
