"""The local cloud: Google's own emulators, stand-ins for what has none, and the deployed code as processes."""
