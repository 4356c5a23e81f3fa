"""Workbooks and Parquet files as canonical CSV, made in a process with limits."""
