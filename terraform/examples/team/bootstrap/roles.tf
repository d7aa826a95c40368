# What a deployment needs. A test takes this list from what an apply makes: a role too few and a role too many both fail it.

locals {
  deployer_roles = [
    "roles/artifactregistry.admin",         # the repository of the images, and who may read and write it
    "roles/cloudbuild.builds.editor",       # the build of the jobs' image
    "roles/cloudfunctions.developer",       # the functions
    "roles/cloudscheduler.admin",           # the schedules
    "roles/datastore.owner",                # both databases, their indexes, TTL policies and backup schedules
    "roles/iam.serviceAccountAdmin",        # an identity for each function and job
    "roles/iam.serviceAccountUser",         # to deploy functions and jobs that run as these
    "roles/logging.configWriter",           # metrics, exclusions, the log bucket and its sink
    "roles/monitoring.editor",              # alerts, dashboard, uptime check, objective
    "roles/pubsub.admin",                   # topics, subscriptions, and who may use them
    "roles/run.admin",                      # the jobs, and who may call functions and jobs
    "roles/secretmanager.admin",            # the pepper, and who may read it
    "roles/serviceusage.serviceUsageAdmin", # APIs, and Google's own identities
    "roles/storage.admin",                  # the sources' bucket, and the state's
  ]

  # What the module grants in the project's own policy, and therefore all that the deployer may grant or take there.
  granted_on_the_project = [
    "roles/datastore.user",
    "roles/datastore.viewer",
    "roles/logging.logWriter",
    "roles/storage.objectViewer",
  ]
}

resource "google_project_iam_member" "deployer" {
  #checkov:skip=CKV_GCP_41:the identities that it acts as do not exist before it makes them
  #checkov:skip=CKV_GCP_42:a test holds the list against what an apply makes
  #checkov:skip=CKV_GCP_49:a test holds the list against what an apply makes
  for_each = toset(local.deployer_roles)

  project = var.project_id
  role    = each.value
  member  = google_service_account.deployer.member
}

# The project's policy: without the condition, whoever may change it is an owner.
resource "google_project_iam_member" "deployer_grants" {
  project = var.project_id
  role    = "roles/resourcemanager.projectIamAdmin"
  member  = google_service_account.deployer.member

  condition {
    title       = "only what Turnout grants"
    description = "The roles that the module grants to its own identities in the project's policy."
    expression  = "api.getAttribute('iam.googleapis.com/modifiedGrantsByRole', []).hasOnly([${join(", ", [for role in local.granted_on_the_project : "'${role}'"])}])"
  }
}

# A budget belongs to the billing account.
resource "google_billing_account_iam_member" "deployer" {
  for_each = toset(var.billing_account == "" ? [] : ["roles/billing.costsManager"])

  billing_account_id = var.billing_account
  role               = each.value
  member             = google_service_account.deployer.member
}
