"""Tests of `emulators/`."""
