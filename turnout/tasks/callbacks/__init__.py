"""Callbacks: a task's URL is called by the worker, signed and guarded."""
