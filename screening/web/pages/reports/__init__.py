"""Pages of reports: of a period, documents that are made as jobs, and schedules."""
