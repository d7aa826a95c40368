# The counters: a Firestore database with polls, shards and the ledger, which one commit spans.

resource "google_firestore_database" "counters" {
  project     = var.project_id
  name        = local.names.counters
  location_id = local.database_location
  type        = "FIRESTORE_NATIVE"

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

locals {
  # What no query asks for is not indexed: each index is written with each document, and one over moments holds its
  # collection to some 500 writes a second.
  unindexed_fields = {
    ledger = ["poll", "votes", "duplicates", "keys"]
    shards = ["counts", "votes", "duplicates", "bundles", "updated_at"]
    drains = ["started_at", "leased_at", "empty_at", "ended_at"]
    polls  = ["choices"]
  }
}

resource "google_firestore_field" "unindexed" {
  for_each = merge([
    for collection, fields in local.unindexed_fields : {
      for field in fields : "${collection}.${field}" => { collection = collection, field = field }
    }
  ]...)

  project    = var.project_id
  database   = google_firestore_database.counters.name
  collection = each.value.collection
  field      = each.value.field

  index_config {}

  # It goes with its database.
  deletion_policy = "ABANDON"
}

# Entries go by themselves when no replay can come any more: see turnout/votes/ledger.py.
resource "google_firestore_field" "expiry" {
  for_each = toset(["ledger", "drains"])

  project    = var.project_id
  database   = google_firestore_database.counters.name
  collection = each.value
  field      = "expire_at"

  ttl_config {}
  index_config {}

  deletion_policy = "ABANDON"
}

# The audit adds up a poll's side of the ledger: all three sums in one query, over the bundles of one poll.
resource "google_firestore_index" "ledger_sums" {
  project    = var.project_id
  database   = google_firestore_database.counters.name
  collection = "ledger"

  deletion_policy = "ABANDON"

  fields {
    field_path = "poll"
    order      = "ASCENDING"
  }
  fields {
    field_path = "duplicates"
    order      = "ASCENDING"
  }
  fields {
    field_path = "keys"
    order      = "ASCENDING"
  }
  fields {
    field_path = "votes"
    order      = "ASCENDING"
  }
}
