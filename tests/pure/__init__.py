"""The rules alone: no network, no clock, no chance but those that are passed in."""
