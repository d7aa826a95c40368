"""The tasks' ports on Google's services."""
