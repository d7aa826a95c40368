# Turnout for a vote that matters: under a domain of yours, behind a load balancer that bounds each caller's rate, with
# warm instances, a drain of several tasks, databases in several regions, and alerts by mail.

terraform {
  required_version = ">= 1.9"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 7.46, < 9.0"
    }
  }
}

provider "google" {
  project = var.project_id
  region  = var.region
}

module "turnout" {
  source = "../.."

  project_id        = var.project_id
  region            = var.region
  prefix            = var.prefix
  database_location = var.database_location

  # Only the load balancer reaches the functions; polls still want an identity.
  ingress     = "ALLOW_INTERNAL_AND_GCLB"
  poll_owners = var.poll_owners

  functions = {
    vote    = { min_instances = 2, max_instances = 60, memory_mib = 1024 }
    results = { min_instances = 1, max_instances = 20 }
  }
  drain = { tasks = 2 }

  alert_emails = var.alert_emails
  alerts       = { backlog_age_seconds = 180 }
}
