"""Infrastructure that everything stands on: the database, jobs with leases, locks and atomic files, processes, the
audit log.
"""
