"""Faults, with real processes: killed, cut off and lied to at every step, the count stays exact."""
