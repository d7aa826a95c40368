"""Cloud Run jobs, one module each: settings, signals, one call of the core, exit code."""
