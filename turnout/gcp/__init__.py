"""Google's services behind the core's ports: the only place that knows their clients, one module a service."""
