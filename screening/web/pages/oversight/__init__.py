"""Oversee the work of others: the audit log and approvals."""
