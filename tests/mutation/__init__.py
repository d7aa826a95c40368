"""The suite, tested: mistakes are made in the code, one at a time, and a test has to find each."""
