"""The rules of the stand-in of Cloud Tasks, without a server, a disk or a clock."""
