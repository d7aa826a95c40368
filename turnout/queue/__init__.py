"""The pull queue, for messages of any kind: batches out, leases in, each message handled until its effect is durable."""
