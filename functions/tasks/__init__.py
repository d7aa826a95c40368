"""The tasks' functions: HTTP in, one call of the core, HTTP out."""
