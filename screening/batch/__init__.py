"""Screen folders of any size on a Spark cluster, with the numbers that a file gets.

Nothing here imports Spark before a job is asked for, and nothing that runs in an executor needs more of the project
than what lies below: detectors, features, intake and reasons.
"""
