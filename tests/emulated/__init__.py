"""The functions and jobs on Google's emulators, from the outside: as separate processes, over HTTP."""
