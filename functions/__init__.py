"""HTTP Cloud Functions, one module each: HTTP in, one call of the core, HTTP out."""
