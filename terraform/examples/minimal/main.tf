# All of Turnout with its defaults: `terraform apply -var project_id=my-project`.

terraform {
  required_version = ">= 1.11"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 7.46, < 9.0"
    }
  }
}

variable "project_id" {
  description = "The Google Cloud project to deploy to; it must have billing."
  type        = string
}

variable "region" {
  description = "Where everything lives."
  type        = string
  default     = "europe-west1"
}

variable "alert_emails" {
  description = "Addresses that alerts are mailed to; without one a warning reminds you."
  type        = list(string)
  default     = []
}

provider "google" {
  project = var.project_id
  region  = var.region
}

module "turnout" {
  source = "../.."

  project_id = var.project_id
  region     = var.region

  alert_emails = var.alert_emails
}

output "endpoints" {
  description = "What clients call."
  value       = module.turnout.endpoints
}

output "commands" {
  description = "Commands to try: `terraform output -raw commands`."
  value       = module.turnout.commands
}
