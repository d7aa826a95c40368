"""What all functions share of HTTP: requests in, replies out."""
