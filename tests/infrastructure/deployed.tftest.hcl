# What is deployed, as a state whose every reference is resolved: the tests in Python read it.

mock_provider "google" {
  mock_data "google_project" {
    defaults = { number = "123456789012" }
  }
}

variables {
  project_id  = "demo-project"
  poll_owners = ["user:ada@example.com"]
  # Nothing is built or waited for.
  gcloud                = "true"
  access_settle_seconds = 0
}

run "deployed" {
  command = apply
}
