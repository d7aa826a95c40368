"""A stand-in for Cloud Scheduler: its API v1 over gRPC and as REST, on this machine.

`schedule` and `retries` are pure rules, `jobs` says what a job may be, `engine` decides what happens when, and does
nothing itself; `store` keeps it on disk, `target` does the attempts, `service` is the API, `server` serves it.
"""
