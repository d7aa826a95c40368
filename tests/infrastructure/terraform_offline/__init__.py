"""Stand-ins for Terraform's providers, for machines that cannot reach the provider registry. See README.md."""
