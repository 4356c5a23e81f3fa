"""Accounts: the users file, passwords, sessions, roles, the login throttle."""
