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

  dynamic "cmek_config" {
    for_each = local.database_kms_keys
    content {
      kms_key_name = cmek_config.value
    }
  }

  depends_on = [time_sleep.apis]
}

# A poll's newest slots.
resource "google_firestore_index" "history" {
  project     = var.project_id
  database    = google_firestore_database.record.name
  collection  = "TallyHistory"
  api_scope   = "DATASTORE_MODE_API"
  query_scope = "COLLECTION_RECURSIVE"
  density     = "SPARSE_ALL"

  # It goes with its database.
  deletion_policy = "ABANDON"

  fields {
    field_path = "poll"
    order      = "ASCENDING"
  }
  fields {
    field_path = "slot"
    order      = "DESCENDING"
  }
}
