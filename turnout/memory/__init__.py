"""The ports in memory, for tests and simulations. The contract suites judge them and Google's services alike."""
