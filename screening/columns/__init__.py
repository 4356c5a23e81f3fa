"""What the columns of a file are: their roles, their match with a detector's, whether they leak the label."""
