variable "project_id" {
  description = "The Google Cloud project to prepare; it must have billing."
  type        = string
}

variable "region" {
  description = "Where the bucket for the state lives."
  type        = string
  default     = "europe-west1"
}

variable "repository" {
  description = "The repository on GitHub whose workflows may deploy, as owner/name."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$", var.repository))
    error_message = "repository must be owner/name, such as example/elections, without https://github.com/."
  }
}

variable "repository_id" {
  description = "Its number, which never changes: `gh api repos/OWNER/NAME --jq .id`."
  type        = string

  validation {
    condition     = can(regex("^[0-9]+$", var.repository_id))
    error_message = "repository_id must be the repository's number, as `gh api repos/OWNER/NAME --jq .id` says it."
  }
}

variable "branch" {
  description = "The branch whose workflows may deploy. Workflows of pull requests may not."
  type        = string
  default     = "main"

  validation {
    condition     = can(regex("^[A-Za-z0-9_./-]+$", var.branch))
    error_message = "branch must be a branch's name, such as main."
  }
}

variable "environment" {
  description = "The environment on GitHub that the workflow runs in; its reviewers look before each apply."
  type        = string
  default     = "production"

  validation {
    condition     = can(regex("^[A-Za-z0-9_.-]+$", var.environment))
    error_message = "environment must be an environment's name, such as production."
  }
}

variable "billing_account" {
  description = "The billing account on which the deployer may keep a budget; empty: it keeps none."
  type        = string
  default     = ""
}
