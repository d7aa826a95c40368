# From the outside: an uptime check that reads the database as a reader does, and an objective for the votes' requests with
# alerts on how fast its budget burns.

locals {
  uptime_host = var.uptime_host != "" ? var.uptime_host : (
    var.ingress == "ALLOW_ALL" && (contains(var.public_members, "allUsers") || var.invoker_check_disabled)
    ? trimprefix(google_cloudfunctions2_function.function["results"].service_config[0].uri, "https://")
    : ""
  )
  # Known while planning, as uptime_host is not.
  has_uptime_check = var.uptime_host != "" || (
    var.ingress == "ALLOW_ALL" && (contains(var.public_members, "allUsers") || var.invoker_check_disabled)
  )

  slo_days = 30
  # Google's SRE workbook, chapter 5: a budget that burns so many times too fast over both a long and a short while. That uses
  # up 2 % of it in an hour, 5 % in six hours, 10 % in a day; the last is worth a ticket, not a call.
  burns = {
    fast   = { rate = 14.4, long = "3600s", short = "300s", severity = "CRITICAL" }
    steady = { rate = 6, long = "21600s", short = "1800s", severity = "ERROR" }
    slow   = { rate = 3, long = "86400s", short = "7200s", severity = "WARNING" }
  }
}

resource "google_monitoring_uptime_check_config" "results" {
  count = local.has_uptime_check ? 1 : 0

  project      = var.project_id
  display_name = "${var.prefix}: results"
  timeout      = "10s"
  period       = "60s"

  # A poll that there is not: the function looks for it in the counters' database, and answers 404.
  http_check {
    path         = "/results/uptime-check"
    port         = 443
    use_ssl      = true
    validate_ssl = true

    accepted_response_status_codes {
      status_value = 404
    }
  }

  monitored_resource {
    type = "uptime_url"
    labels = {
      project_id = var.project_id
      host       = local.uptime_host
    }
  }

  depends_on = [time_sleep.apis]
}

resource "google_monitoring_alert_policy" "unreachable" {
  count = local.has_uptime_check ? 1 : 0

  project               = var.project_id
  display_name          = "${var.prefix}: results cannot be reached"
  severity              = "CRITICAL"
  combiner              = "OR"
  notification_channels = local.notification_channels
  user_labels           = local.labels

  conditions {
    display_name = "Two of Google's regions or more get no good answer"

    condition_threshold {
      filter          = "resource.type = \"uptime_url\" AND metric.type = \"monitoring.googleapis.com/uptime_check/check_passed\" AND metric.labels.check_id = \"${google_monitoring_uptime_check_config.results[0].uptime_check_id}\""
      comparison      = "COMPARISON_GT"
      threshold_value = 1
      duration        = "60s"

      aggregations {
        alignment_period     = "120s"
        per_series_aligner   = "ALIGN_NEXT_OLDER"
        cross_series_reducer = "REDUCE_COUNT_FALSE"
        group_by_fields      = ["resource.labels.host"]
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = <<-EOT
      `https://${local.uptime_host}/results/uptime-check` answers no 404, which a poll that there is not has when the function
      and its database work. `turnout doctor --deployed` looks further.
    EOT
  }
}

resource "google_monitoring_custom_service" "vote" {
  project      = var.project_id
  service_id   = "${var.prefix}-vote"
  display_name = "${var.prefix}: votes are taken"
  user_labels  = local.labels

  depends_on = [time_sleep.apis]
}

resource "google_monitoring_slo" "vote" {
  project             = var.project_id
  service             = google_monitoring_custom_service.vote.service_id
  slo_id              = "${var.prefix}-vote-available"
  display_name        = "Requests to vote without a 5xx"
  goal                = var.slo
  rolling_period_days = local.slo_days

  request_based_sli {
    good_total_ratio {
      total_service_filter = format(local.requests_metric, "\"${local.service_names.vote}\"")
      bad_service_filter   = "${format(local.requests_metric, "\"${local.service_names.vote}\"")} AND metric.labels.response_code_class = \"5xx\""
    }
  }
}

resource "google_monitoring_alert_policy" "burn" {
  for_each = local.burns

  project               = var.project_id
  display_name          = "${var.prefix}: votes fail, ${each.key} burn"
  severity              = each.value.severity
  combiner              = "AND"
  notification_channels = local.notification_channels
  user_labels           = local.labels

  dynamic "conditions" {
    for_each = [each.value.long, each.value.short]
    content {
      display_name = "The budget burns ${each.value.rate} times too fast over ${conditions.value}"

      condition_threshold {
        filter          = "select_slo_burn_rate(\"${google_monitoring_slo.vote.name}\", \"${conditions.value}\")"
        comparison      = "COMPARISON_GT"
        threshold_value = each.value.rate
        duration        = "0s"
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = <<-EOT
      Of the requests to vote within ${local.slo_days} days, ${format("%g", (1 - var.slo) * 100)} % may fail; at this rate that is used up
      in ${format("%.1f", local.slo_days / each.value.rate)} days. A voter who got a 5xx was promised nothing, and may send the vote again.
    EOT
  }
}

# A warning at plan and apply: nothing is in the way of alerts that nobody hears.
check "somebody_hears_of_alerts" {
  assert {
    condition     = length(var.alert_emails) + length(var.notification_channels) > 0
    error_message = "Alerts have no address: nobody will hear when votes wait or an audit fails. Set alert_emails or notification_channels."
  }
}
