"""The stand-in of Cloud Tasks, through Google's own clients."""
