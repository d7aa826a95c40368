# The record: a database in Datastore mode with each poll's tally and its history.

resource "google_firestore_database" "record" {
  project     = var.project_id
  name        = local.names.record
  location_id = local.database_location
  type        = "DATASTORE_MODE"

  app_engine_integration_mode       = "DISABLED"
  point_in_time_recovery_enablement = "POINT_IN_TIME_RECOVERY_ENABLED"
  delete_protection_state           = var.allow_destroy_data ? "DELETE_PROTECTION_DISABLED" : "DELETE_PROTECTION_ENABLED"
  deletion_policy                   = local.data_deletion_policy

  depends_on = [
    google_project_service.api["datastore.googleapis.com"],
    google_project_service.api["firestore.googleapis.com"],
  ]
}

# A poll's newest slots.
resource "google_firestore_index" "history" {
  project     = var.project_id
  database    = google_firestore_database.record.name
  collection  = "TallyHistory"
  api_scope   = "DATASTORE_MODE_API"
  query_scope = "COLLECTION_RECURSIVE"
  density     = "SPARSE_ALL"

  fields {
    field_path = "poll"
    order      = "ASCENDING"
  }
  fields {
    field_path = "slot"
    order      = "DESCENDING"
  }
}
