"""Handle every request: guards, headers, proxies, errors, sessions, uploads as streams."""
