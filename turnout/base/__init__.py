"""What every room stands on: it knows nothing of queues, votes or Google."""
