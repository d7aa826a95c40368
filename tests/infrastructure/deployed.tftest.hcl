# What is deployed, as a state whose every reference is resolved: the tests in Python read it.

mock_provider "google" {
  mock_resource "google_storage_bucket" {
    defaults = { project_number = 123456789012 }
  }
}

variables {
  project_id  = "demo-project"
  poll_owners = ["user:ada@example.com"]
  # Alerts have an address.
  alert_emails = ["ada@example.com"]
  # Nothing is built or waited for.
  gcloud                = "true"
  api_settle_seconds    = 0
  access_settle_seconds = 0
}

run "deployed" {
  command = apply
}

# What is protected would not let itself be torn down.
run "may_be_destroyed" {
  command = apply

  variables {
    allow_destroy_data = true
  }
}
