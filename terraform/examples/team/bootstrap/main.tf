# Made once, by an owner of the project, before GitHub Actions can deploy: the bucket for the state, a way in for one
# repository's workflows without any key, and the identity that they deploy as, with no role that a deployment does not need.

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

resource "google_project_service" "api" {
  for_each = toset([
    "cloudresourcemanager.googleapis.com",
    "iam.googleapis.com",
    "iamcredentials.googleapis.com",
    "serviceusage.googleapis.com",
    "storage.googleapis.com",
    "sts.googleapis.com",
  ])

  project            = var.project_id
  service            = each.value
  disable_on_destroy = false
}

# The state: who may read it sees every name, and who may write it decides what the next apply does.

resource "google_storage_bucket" "state" {
  #checkov:skip=CKV_GCP_62:Cloud Audit Logs tell who reads and writes it
  project  = var.project_id
  name     = "${var.project_id}-terraform-state"
  location = var.region

  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  # An older state can be brought back.
  versioning {
    enabled = true
  }

  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      num_newer_versions         = 20
      days_since_noncurrent_time = 90
    }
  }

  depends_on = [google_project_service.api]
}

# The way in: GitHub says for which repository, branch and environment a workflow runs, and Google believes it for these alone.

resource "google_iam_workload_identity_pool" "github" {
  project                   = var.project_id
  workload_identity_pool_id = "github"
  display_name              = "GitHub Actions"

  depends_on = [google_project_service.api]
}

resource "google_iam_workload_identity_pool_provider" "github" {
  #checkov:skip=CKV_GCP_125:the subject is asserted, in a condition put together from variables
  project                            = var.project_id
  workload_identity_pool_id          = google_iam_workload_identity_pool.github.workload_identity_pool_id
  workload_identity_pool_provider_id = "github"
  display_name                       = "GitHub Actions"

  attribute_mapping = {
    "google.subject"          = "assertion.sub"
    "attribute.repository_id" = "assertion.repository_id"
  }
  # A name can be given up and taken by somebody else; the number cannot. The subject of a workflow that runs in an environment
  # names it: without its reviewers nothing is deployed.
  attribute_condition = join(" && ", [
    "assertion.sub == 'repo:${var.repository}:environment:${var.environment}'",
    "assertion.repository_id == '${var.repository_id}'",
    "assertion.ref == 'refs/heads/${var.branch}'",
  ])

  oidc {
    issuer_uri = "https://token.actions.githubusercontent.com"
  }
}

resource "google_service_account" "deployer" {
  project      = var.project_id
  account_id   = "turnout-deployer"
  display_name = "Deploys Turnout from GitHub Actions"

  depends_on = [google_project_service.api]
}

resource "google_service_account_iam_member" "repository" {
  service_account_id = google_service_account.deployer.name
  role               = "roles/iam.workloadIdentityUser"
  member             = "principalSet://iam.googleapis.com/${google_iam_workload_identity_pool.github.name}/attribute.repository_id/${var.repository_id}"
}

output "backend" {
  description = "What `terraform init` is told of the state's bucket."
  value       = "-backend-config=bucket=${google_storage_bucket.state.name} -backend-config=prefix=turnout"
}

output "workload_identity_provider" {
  description = "The repository's variable WORKLOAD_IDENTITY_PROVIDER."
  value       = google_iam_workload_identity_pool_provider.github.name
}

output "deployer" {
  description = "The repository's variable DEPLOYER."
  value       = google_service_account.deployer.email
}
