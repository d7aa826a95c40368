# The clock: Cloud Scheduler has votes counted, totals persisted and books audited.

resource "google_cloud_scheduler_job" "persist" {
  project     = var.project_id
  region      = var.region
  name        = "${var.prefix}-persist"
  description = "Persists every poll's totals."
  schedule    = var.schedules.persist
  time_zone   = "Etc/UTC"
  paused      = var.schedules_paused
  # As long as the function itself may take.
  attempt_deadline = "${local.sizes.persist.timeout_seconds}s"

  # A repeated call has the same schedule time, and changes nothing.
  retry_config {
    retry_count          = 2
    min_backoff_duration = "5s"
    max_backoff_duration = "20s"
  }

  http_target {
    http_method = "POST"
    uri         = "${google_cloudfunctions2_function.function["persist"].service_config[0].uri}/persist"

    oidc_token {
      service_account_email = local.emails["scheduler"]
      # The service's own address, without a path.
      audience = google_cloudfunctions2_function.function["persist"].service_config[0].uri
    }
  }

  # A call before its grant is refused.
  depends_on = [google_cloud_run_v2_service_iam_member.caller]
}

resource "google_cloud_scheduler_job" "job" {
  for_each = { drain = var.schedules.drain, audit = var.schedules.audit }

  project          = var.project_id
  region           = var.region
  name             = "${var.prefix}-${each.key}"
  description      = "Starts an execution of the job ${each.key}."
  schedule         = each.value
  time_zone        = "Etc/UTC"
  paused           = var.schedules_paused
  attempt_deadline = "60s"

  # A second execution would do no harm.
  retry_config {
    retry_count          = 1
    min_backoff_duration = "5s"
  }

  http_target {
    http_method = "POST"
    uri = format(
      "https://run.googleapis.com/v2/projects/%s/locations/%s/jobs/%s:run",
      var.project_id, var.region, google_cloud_run_v2_job.job[each.key].name,
    )
    body    = base64encode("{}")
    headers = { "Content-Type" = "application/json" }

    # An API of Google's wants an access token, where a function wants an identity.
    oauth_token {
      service_account_email = local.emails["scheduler"]
      scope                 = "https://www.googleapis.com/auth/cloud-platform"
    }
  }

  depends_on = [google_cloud_run_v2_job_iam_member.scheduler]
}
