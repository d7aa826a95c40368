# What variables change.

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

# As an organisation may want it: closed, with keys of its own, a log bucket and a budget.
run "organisation" {
  command = apply

  variables {
    public_members     = []
    poll_owners        = []
    kms_key            = "projects/demo-project/locations/europe-west1/keyRings/ring/cryptoKeys/key"
    database_kms_key   = "projects/demo-project/locations/europe-west1/keyRings/ring/cryptoKeys/key-of-databases"
    log_retention_days = 400
    budget             = { billing_account = "012345-6789AB-CDEF01", monthly = 200, currency = "EUR" }
  }
}

run "destroyable" {
  command = apply

  variables {
    allow_destroy_data = true
  }
}
