"""Opens the files of a detector safely: each is read once, its hash is compared, and only then is it looked into."""
