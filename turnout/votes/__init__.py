"""Votes: polls, ballots, bundles, the counting commit, results and the books."""
