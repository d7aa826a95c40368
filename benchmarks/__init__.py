"""Benchmarks: figures of this machine, as ratios measured in one run, each ending with the audit."""
