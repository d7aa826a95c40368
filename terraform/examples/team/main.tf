# Turnout as a team deploys it: from GitHub Actions, without a key, with the state in a bucket. `bootstrap/` comes first.

terraform {
  required_version = ">= 1.11"

  # The bucket that bootstrap/ makes: `terraform init -backend-config=bucket=… -backend-config=prefix=turnout`.
  backend "gcs" {}

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 7.46, < 9.0"
    }
  }
}

variable "project_id" {
  description = "The Google Cloud project to deploy to; bootstrap/ has prepared it."
  type        = string
}

variable "region" {
  description = "Where everything lives."
  type        = string
  default     = "europe-west1"
}

variable "poll_owners" {
  description = "Who may create, change and certify polls, as members such as group:election-office@example.com."
  type        = list(string)
}

variable "alert_emails" {
  description = "Addresses that alerts, and the budget, are mailed to."
  type        = list(string)

  validation {
    condition     = length(var.alert_emails) > 0
    error_message = "alert_emails must have at least one address: somebody must hear when votes wait."
  }
}

variable "budget" {
  description = "What a month may cost before somebody hears of it, as the module's `budget`; null: no budget."
  type = object({
    billing_account = string
    monthly         = number
    currency        = optional(string, "USD")
    at              = optional(list(number), [0.5, 0.9, 1])
  })
  default = null
}

provider "google" {
  project = var.project_id
  region  = var.region
  # Budgets belong to a billing account: their calls count against this project's quota.
  billing_project       = var.project_id
  user_project_override = true
}

module "turnout" {
  source = "../.."

  project_id   = var.project_id
  region       = var.region
  poll_owners  = var.poll_owners
  alert_emails = var.alert_emails
  budget       = var.budget

  log_retention_days = 400
}

output "endpoints" {
  description = "What clients call."
  value       = module.turnout.endpoints
}

output "environment" {
  description = "The environment in which the command line works on it."
  value       = module.turnout.environment
}
