# Turnout's lines in a log bucket of their own, for as long as they are to be kept.

locals {
  log_bucket = var.log_retention_days > 0 ? { "${var.prefix}-logs" = var.log_retention_days } : {}
  # Cloud Run's log of the requests to vote, other than those that failed: who called at which moment.
  votes_requests = "${local.log_of.vote} AND logName=\"projects/${var.project_id}/logs/run.googleapis.com%2Frequests\" AND httpRequest.status<500"
}

resource "google_logging_project_bucket_config" "turnout" {
  for_each = local.log_bucket

  project        = var.project_id
  location       = var.region
  bucket_id      = each.key
  description    = "What Turnout's functions and jobs log."
  retention_days = each.value

  dynamic "cmek_settings" {
    for_each = local.kms_keys
    content {
      kms_key_name = cmek_settings.value
    }
  }

  depends_on = [time_sleep.apis]
}

resource "google_logging_project_sink" "turnout" {
  for_each = google_logging_project_bucket_config.turnout

  project                = var.project_id
  name                   = "${var.prefix}-logs"
  description            = "Copies what Turnout's functions and jobs log into a bucket that keeps it longer."
  destination            = "logging.googleapis.com/${each.value.id}"
  filter                 = join(" OR ", [for place in values(local.log_of) : "(${place})"])
  unique_writer_identity = true

  # What the default bucket must not hold, this one must not hold either.
  dynamic "exclusions" {
    for_each = var.log_votes_requests ? [] : [local.votes_requests]
    content {
      name        = "${var.prefix}-votes-requests"
      description = "Cloud Run's log of the requests to vote, other than those that failed."
      filter      = exclusions.value
    }
  }
}
