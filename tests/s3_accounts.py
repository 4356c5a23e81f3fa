"""Access keys of the tests' store, apart from what needs localbucket: tests are skipped where that is missing."""

SECRET = "not-a-secret"
"""The secret of each of them."""
ALL, KEEPING, LATE = "tests", "keeps-all", "an-hour-late"
"""One that may do all, one that may delete no object, and one for which the store's clock is an hour off."""
