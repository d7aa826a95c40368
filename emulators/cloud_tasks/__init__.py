"""A stand-in for Cloud Tasks."""
