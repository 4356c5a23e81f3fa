"""The pages, the data API and the command line. Only this package and ``app.py`` import Flask."""
