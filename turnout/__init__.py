"""Turnout counts votes: serverless pull-queue ingestion on Google Cloud, exactly once."""
