# Turnout for a vote that matters: under a domain of yours, behind a load balancer that bounds each caller's rate, with
# warm instances, a drain of several tasks, databases in several regions, and alerts by mail.

terraform {
  required_version = ">= 1.11"

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

  # What fits into a new project's 20 vCPU. For more, have the quota raised first, say so in region_vcpu, and raise these.
  region_vcpu = var.region_vcpu
  functions = {
    vote    = { min_instances = 2, max_instances = 6, memory_mib = 1024 }
    results = { min_instances = 1, max_instances = 3 }
  }
  drain = { tasks = 2, timeout_seconds = 240 }

  alert_emails = var.alert_emails
  alerts       = { backlog_age_seconds = 180 }
  uptime_host  = var.domain

  log_retention_days = 400
}
