"""A stand-in for the jobs of Cloud Run: its API v2 over gRPC and as REST, over processes of this machine.

`jobs` says what can be run and how a call may change it, `executions` keeps the books of what ran, `views` writes them
as the API's messages, `service` is the API, `server` serves it.
"""
