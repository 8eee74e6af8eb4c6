"""The scoring runner: an HTTP server around `init()` and `run()`, or around an MLflow model, inside a replica.

Plain files, mounted read-only into the container and run by whatever Python is there, 3.8 to 3.13: nothing newer than
3.8 may be written here, and nothing of the studio imported.
"""
