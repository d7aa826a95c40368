# What a team's deployment starts from, as a state: the tests in Python read the deployer's roles.

mock_provider "google" {
  mock_resource "google_service_account" {
    defaults = { member = "serviceAccount:turnout-deployer@demo-project.iam.gserviceaccount.com" }
  }
}

run "bootstrap" {
  command = apply

  variables {
    project_id      = "demo-project"
    repository      = "example/elections"
    repository_id   = "123456"
    billing_account = "012345-6789AB-CDEF01"
  }
}
