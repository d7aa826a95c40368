# The queue: bundles of votes wait here until a drain has counted them.

resource "google_pubsub_topic" "votes" {
  #checkov:skip=CKV_GCP_83:voters are hashed before they come here; var.kms_key is for those who want a key of their own
  project         = var.project_id
  name            = local.names.topic
  labels          = local.labels
  deletion_policy = local.data_deletion_policy
  kms_key_name    = one(local.kms_keys)

  # No retention of its own: it would keep keys and choices together after they are counted.
  message_storage_policy {
    allowed_persistence_regions = local.message_regions
  }

  depends_on = [time_sleep.apis]
}

resource "google_pubsub_subscription" "votes" {
  project         = var.project_id
  name            = local.names.subscription
  topic           = google_pubsub_topic.votes.id
  labels          = local.labels
  deletion_policy = local.data_deletion_policy

  ack_deadline_seconds       = var.ack_deadline_seconds
  message_retention_duration = "${var.message_retention_days * 86400}s"
  retain_acked_messages      = false
  # The ledger makes the count exact; exactly-once delivery would only slow it down.
  enable_exactly_once_delivery = false

  # However long nobody votes.
  expiration_policy {
    ttl = ""
  }

  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "${var.retry_backoff_max_seconds}s"
  }

  # The drain itself buries what it cannot read. This is the last resort, for what no drain survives.
  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.dead_letters.id
    max_delivery_attempts = 100
  }
}

resource "google_pubsub_topic" "dead_letters" {
  #checkov:skip=CKV_GCP_83:voters are hashed before they come here; var.kms_key is for those who want a key of their own
  project         = var.project_id
  name            = local.names.dead_letter_topic
  labels          = local.labels
  deletion_policy = local.data_deletion_policy
  kms_key_name    = one(local.kms_keys)

  message_storage_policy {
    allowed_persistence_regions = local.message_regions
  }

  depends_on = [time_sleep.apis]
}

# Without it what is dead-lettered would be lost.
resource "google_pubsub_subscription" "dead_letters" {
  project         = var.project_id
  name            = local.names.dead_letter_subscription
  topic           = google_pubsub_topic.dead_letters.id
  labels          = local.labels
  deletion_policy = local.data_deletion_policy

  ack_deadline_seconds = var.ack_deadline_seconds
  # As long as turnout/votes/settings.py says: the ledger's entries outlive what is redriven within it.
  message_retention_duration = "604800s" # 7 days

  expiration_policy {
    ttl = ""
  }
}

locals {
  message_regions = length(var.message_regions) > 0 ? var.message_regions : [var.region]
}
