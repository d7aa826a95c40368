# Watching: metrics from Turnout's own log lines where Google has none, a dashboard, and alerts.

locals {
  service_names = { for name in keys(local.functions) : name => google_cloudfunctions2_function.function[name].name }
  job_names     = { for name in keys(local.jobs) : name => google_cloud_run_v2_job.job[name].name }

  # Where the lines of a function or job are.
  log_of = merge(
    {
      for name, service in local.service_names :
      name => "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"${service}\""
    },
    {
      for name, job in local.job_names :
      name => "resource.type=\"cloud_run_job\" AND resource.labels.job_name=\"${job}\""
    },
  )
  log_of_functions = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=(${join(" OR ", [for service in values(local.service_names) : "\"${service}\""])})"

  # Events of the log that are counted: each line of such a message is one.
  counted_events = {
    dead_lettered   = { says = "Messages that a drain could not read and buried.", filter = "${local.log_of.drain} AND jsonPayload.message=\"message dead-lettered\"" }
    drains_failed   = { says = "Drain tasks that ended with a fault.", filter = "${local.log_of.drain} AND jsonPayload.message=\"job failed\"" }
    leases_released = { says = "Leases that could not be counted and went back.", filter = "${local.log_of.drain} AND jsonPayload.message=\"messages were not handled and are released\"" }
    publish_failed  = { says = "Bundles that the queue did not confirm; their voters got 503.", filter = "${local.log_of.vote} AND jsonPayload.message=\"publish failed\"" }
    requests_failed = { says = "Requests answered with 5xx by the code, crashes included.", filter = "${local.log_of_functions} AND jsonPayload.message=(\"request failed\" OR \"request crashed\")" }
    persist_runs    = { says = "Runs of persist that came to their end.", filter = "${local.log_of.persist} AND jsonPayload.message=\"persisted\"" }
    polls_left_out  = { says = "Polls that a run of persist could not persist.", filter = "${local.log_of.persist} AND jsonPayload.message=\"poll not persisted\"" }
    certified       = { says = "Polls certified.", filter = "${local.log_of_functions} AND jsonPayload.message=\"certified\"" }
    books_balanced  = { says = "Audits of a poll that found its books in balance.", filter = "${local.log_of.audit} AND jsonPayload.message=\"books balance\"" }
    books_failed    = { says = "Audits and certifications that found books out of balance, and audits that could not be done.", filter = local.books_failed }
  }

  books_failed = join(" OR ", [
    "(${local.log_of.audit} AND jsonPayload.message=(\"audit failed\" OR \"job failed\"))",
    "(${local.log_of_functions} AND jsonPayload.message=\"books do not balance\")",
  ])

  # Figures in the log line with which a drain task ends.
  drain_figures = {
    votes_counted      = { says = "Votes counted by a drain task.", field = "votes", unit = "1" }
    duplicates_counted = { says = "Duplicates found by a drain task.", field = "duplicates", unit = "1" }
    bundles_counted    = { says = "Bundles counted by a drain task.", field = "bundles", unit = "1" }
    busy_seconds       = { says = "From a drain task's first lease to its last acknowledgement.", field = "busy_seconds", unit = "s" }
  }
}

resource "google_logging_metric" "event" {
  for_each = local.counted_events

  project     = var.project_id
  name        = "${var.prefix}/${each.key}"
  description = each.value.says
  filter      = each.value.filter

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
    unit        = "1"
  }

  depends_on = [time_sleep.apis]
}

resource "google_logging_metric" "figure" {
  for_each = local.drain_figures

  project         = var.project_id
  name            = "${var.prefix}/${each.key}"
  description     = each.value.says
  filter          = "${local.log_of.drain} AND jsonPayload.message=\"drain ended\""
  value_extractor = "EXTRACT(jsonPayload.${each.value.field})"

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "DISTRIBUTION"
    unit        = each.value.unit
  }

  bucket_options {
    exponential_buckets {
      num_finite_buckets = 40
      growth_factor      = 2
      scale              = 0.01
    }
  }

  depends_on = [time_sleep.apis]
}

# A ballot is secret: a log of who called at which moment, beside totals that change at that moment, could tell it.
resource "google_logging_project_exclusion" "votes_requests" {
  count = var.log_votes_requests ? 0 : 1

  project     = var.project_id
  name        = "${var.prefix}-votes-requests"
  description = "Cloud Run's log of the requests to vote, other than those that failed."
  filter      = local.votes_requests

  depends_on = [time_sleep.apis]
}

# Alerts.

resource "google_monitoring_notification_channel" "email" {
  for_each = toset(var.alert_emails)

  project      = var.project_id
  display_name = "${var.prefix}: ${each.value}"
  type         = "email"
  labels       = { email_address = each.value }

  depends_on = [time_sleep.apis]
}

locals {
  notification_channels = concat(
    var.notification_channels,
    [for channel in google_monitoring_notification_channel.email : channel.id],
  )

  queue_metric        = "resource.type = \"pubsub_subscription\" AND resource.labels.subscription_id = \"${google_pubsub_subscription.votes.name}\" AND metric.type = \"pubsub.googleapis.com/subscription/%s\""
  dead_letters_metric = "resource.type = \"pubsub_subscription\" AND resource.labels.subscription_id = \"${google_pubsub_subscription.dead_letters.name}\" AND metric.type = \"pubsub.googleapis.com/subscription/%s\""
  requests_metric     = "resource.type = \"cloud_run_revision\" AND resource.labels.service_name = one_of(%s) AND metric.type = \"run.googleapis.com/request_count\""
  called_by_clients   = join(", ", [for name in ["polls", "results", "vote"] : "\"${local.service_names[name]}\""])
}

resource "google_monitoring_alert_policy" "backlog_age" {
  project               = var.project_id
  display_name          = "${var.prefix}: votes wait to be counted"
  severity              = "ERROR"
  combiner              = "OR"
  notification_channels = local.notification_channels
  user_labels           = local.labels

  conditions {
    display_name = "The oldest vote has waited for more than ${var.alerts.backlog_age_seconds} s"

    condition_threshold {
      filter          = format(local.queue_metric, "oldest_unacked_message_age")
      comparison      = "COMPARISON_GT"
      threshold_value = var.alerts.backlog_age_seconds
      duration        = "60s"

      aggregations {
        alignment_period   = "60s"
        per_series_aligner = "ALIGN_MAX"
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = <<-EOT
      Votes are safe in the queue for ${var.message_retention_days} days, but they are not counted fast enough, or not at all.

      Do the executions of `${local.job_names.drain}` start each minute, and how do they end? A fault in their log names the
      service that refuses. If they all are busy, raise `drain.tasks`.
    EOT
  }
}

resource "google_monitoring_alert_policy" "dead_letters" {
  project               = var.project_id
  display_name          = "${var.prefix}: messages are dead-lettered"
  severity              = "ERROR"
  combiner              = "OR"
  notification_channels = local.notification_channels
  user_labels           = local.labels

  conditions {
    display_name = "A message lies in ${google_pubsub_subscription.dead_letters.name}"

    condition_threshold {
      filter          = format(local.dead_letters_metric, "num_undelivered_messages")
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "0s"

      aggregations {
        alignment_period   = "60s"
        per_series_aligner = "ALIGN_MAX"
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = <<-EOT
      These votes are not counted yet, and they are kept for 7 days. `turnout dead-letters list` shows them with the reason;
      when it is mended, `turnout dead-letters redrive` sends them again.
    EOT
  }
}

resource "google_monitoring_alert_policy" "server_errors" {
  project               = var.project_id
  display_name          = "${var.prefix}: requests fail"
  severity              = "ERROR"
  combiner              = "OR"
  notification_channels = local.notification_channels
  user_labels           = local.labels

  conditions {
    display_name = "More than ${format("%g", var.alerts.server_error_share * 100)} % of the answers are 5xx"

    condition_threshold {
      filter             = "${format(local.requests_metric, local.called_by_clients)} AND metric.labels.response_code_class = \"5xx\""
      denominator_filter = format(local.requests_metric, local.called_by_clients)
      comparison         = "COMPARISON_GT"
      threshold_value    = var.alerts.server_error_share
      duration           = "60s"

      aggregations {
        alignment_period     = "300s"
        per_series_aligner   = "ALIGN_RATE"
        cross_series_reducer = "REDUCE_SUM"
      }

      denominator_aggregations {
        alignment_period     = "300s"
        per_series_aligner   = "ALIGN_RATE"
        cross_series_reducer = "REDUCE_SUM"
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = <<-EOT
      A voter who got a 5xx was promised nothing; sent again with the same Idempotency-Key, the vote counts once. The lines "publish failed" and "request
      crashed" of the functions' logs say why. 429 and 503 without such a line come from Cloud Run: raise
      `functions.vote.max_instances`.
    EOT
  }
}

resource "google_monitoring_alert_policy" "persist_missed" {
  project               = var.project_id
  display_name          = "${var.prefix}: totals are not persisted"
  severity              = "ERROR"
  combiner              = "OR"
  notification_channels = local.notification_channels
  user_labels           = local.labels
  # While the schedules rest, none is missed.
  enabled = !var.schedules_paused

  conditions {
    # A run that left a poll out answers 503.
    display_name = "No run of persist has succeeded for ${var.alerts.persist_missed_seconds} s"

    condition_absent {
      filter   = "${format(local.requests_metric, "\"${local.service_names.persist}\"")} AND metric.labels.response_code_class = \"2xx\""
      duration = "${var.alerts.persist_missed_seconds}s"

      aggregations {
        alignment_period     = "60s"
        per_series_aligner   = "ALIGN_RATE"
        cross_series_reducer = "REDUCE_SUM"
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = <<-EOT
      The live totals go on; those in `${google_firestore_database.record.name}` stand still. Does the schedule
      `${google_cloud_scheduler_job.persist.name}` call, and what does the function answer? "poll not persisted" in its log
      names the poll and the fault.
    EOT
  }
}

# From the log itself: it needs no metric to exist first, and tells the poll.
resource "google_monitoring_alert_policy" "audit_failed" {
  project               = var.project_id
  display_name          = "${var.prefix}: an audit failed"
  severity              = "CRITICAL"
  combiner              = "OR"
  notification_channels = local.notification_channels
  user_labels           = local.labels

  conditions {
    display_name = "Books do not balance, or an audit was not done"

    condition_matched_log {
      # Beside its own lines, what Cloud Run says of an execution that failed.
      filter           = "${local.books_failed} OR (${local.log_of.audit} AND severity>=ERROR)"
      label_extractors = { poll = "EXTRACT(jsonPayload.poll)" }
    }
  }

  alert_strategy {
    auto_close = "86400s"

    notification_rate_limit {
      period = "3600s"
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = <<-EOT
      Shards and ledger, or the persisted tally, do not agree. Certify nothing; `turnout audit` shows the figures of each
      poll. The database can be read as it was at any minute of the last 7 days.
    EOT
  }
}

# The dashboard.

locals {
  # PromQL's spelling of a metric made from the log.
  promql_prefix = "logging_googleapis_com:user_${replace(var.prefix, "-", "_")}_"

  charts = [
    {
      title = "Backlog", unit = "messages"
      lines = [{ legend = "waiting", filter = format(local.queue_metric, "num_undelivered_messages"), align = "ALIGN_MAX", reduce = "REDUCE_MAX" }]
    },
    {
      title = "Oldest unacknowledged message", unit = "s", threshold = var.alerts.backlog_age_seconds
      lines = [{ legend = "age", filter = format(local.queue_metric, "oldest_unacked_message_age"), align = "ALIGN_MAX", reduce = "REDUCE_MAX" }]
    },
    {
      title = "Drain lag: bundles published and acknowledged", unit = "bundles/s"
      lines = [
        { legend = "published", promql = "sum(rate(pubsub_googleapis_com:topic_message_sizes_count{topic_id=\"${google_pubsub_topic.votes.name}\"}[1m]))" },
        { legend = "acknowledged", filter = format(local.queue_metric, "ack_message_count"), align = "ALIGN_RATE", reduce = "REDUCE_SUM" },
      ]
    },
    {
      title = "Votes per second, as drains end", unit = "votes/s"
      lines = [
        { legend = "counted", promql = "sum(rate(${local.promql_prefix}votes_counted_sum[5m]))" },
        { legend = "duplicates", promql = "sum(rate(${local.promql_prefix}duplicates_counted_sum[5m]))" },
      ]
    },
    {
      title = "Requests per second", unit = "requests/s"
      lines = [for name in ["vote", "results", "polls", "persist"] : {
        legend = name, filter = format(local.requests_metric, "\"${local.service_names[name]}\""), align = "ALIGN_RATE", reduce = "REDUCE_SUM"
      }]
    },
    {
      title = "Latency of vote", unit = "ms"
      lines = [for percent in ["50", "95", "99"] : {
        legend = "p${percent}"
        filter = "resource.type = \"cloud_run_revision\" AND resource.labels.service_name = \"${local.service_names.vote}\" AND metric.type = \"run.googleapis.com/request_latencies\""
        align  = "ALIGN_DELTA", reduce = "REDUCE_PERCENTILE_${percent}"
      }]
    },
    {
      title = "Errors per second", unit = "answers/s"
      lines = [for class in ["4xx", "5xx"] : {
        legend = class, filter = "${format(local.requests_metric, local.called_by_clients)} AND metric.labels.response_code_class = \"${class}\"", align = "ALIGN_RATE", reduce = "REDUCE_SUM"
      }]
    },
    {
      title = "Dead letters", unit = "messages"
      lines = [
        { legend = "lying there", filter = format(local.dead_letters_metric, "num_undelivered_messages"), align = "ALIGN_MAX", reduce = "REDUCE_MAX" },
        { legend = "buried by drains", promql = "sum(increase(${local.promql_prefix}dead_lettered[5m]))" },
      ]
    },
    {
      title = "Books: audits of polls", unit = "polls"
      lines = [
        { legend = "in balance", promql = "sum(increase(${local.promql_prefix}books_balanced[1h]))" },
        { legend = "failed", promql = "sum(increase(${local.promql_prefix}books_failed[1h]))" },
      ]
    },
    {
      title = "Persist", unit = "in 5 min"
      lines = [
        { legend = "runs", promql = "sum(increase(${local.promql_prefix}persist_runs[5m]))" },
        { legend = "polls left out", promql = "sum(increase(${local.promql_prefix}polls_left_out[5m]))" },
        { legend = "certified", promql = "sum(increase(${local.promql_prefix}certified[5m]))" },
      ]
    },
    {
      title = "What runs", unit = "instances"
      lines = [
        { legend = "vote", filter = "resource.type = \"cloud_run_revision\" AND resource.labels.service_name = \"${local.service_names.vote}\" AND metric.type = \"run.googleapis.com/container/instance_count\"", align = "ALIGN_MAX", reduce = "REDUCE_SUM" },
        { legend = "drain tasks", filter = "resource.type = \"cloud_run_job\" AND resource.labels.job_name = \"${local.job_names.drain}\" AND metric.type = \"run.googleapis.com/job/running_task_attempts\"", align = "ALIGN_MAX", reduce = "REDUCE_SUM" },
      ]
    },
    {
      title = "Faults", unit = "in 5 min"
      lines = [for name in ["publish_failed", "requests_failed", "leases_released", "drains_failed"] : {
        legend = replace(name, "_", " "), promql = "sum(increase(${local.promql_prefix}${name}[5m]))"
      }]
    },
  ]

  chart_widgets = [for chart in local.charts : {
    title = chart.title
    xyChart = merge(
      {
        yAxis = { label = chart.unit, scale = "LINEAR" }
        dataSets = [for line in chart.lines : {
          plotType       = "LINE"
          targetAxis     = "Y1"
          legendTemplate = line.legend
          timeSeriesQuery = merge(
            try({ prometheusQuery = line.promql }, {}),
            try({
              timeSeriesFilter = {
                filter = line.filter
                aggregation = {
                  alignmentPeriod    = "60s"
                  perSeriesAligner   = line.align
                  crossSeriesReducer = line.reduce
                }
              }
            }, {}),
          )
        }]
      },
      try({ thresholds = [{ value = chart.threshold, label = "alert" }] }, {}),
    )
  }]
}

resource "google_monitoring_dashboard" "turnout" {
  project = var.project_id

  dashboard_json = jsonencode({
    displayName = "Turnout: ${var.prefix}"
    mosaicLayout = {
      columns = 48
      tiles = concat(
        [for index, widget in local.chart_widgets : merge(
          { width = 16, height = 12, widget = widget },
          # Monitoring drops a zero, and every later plan would put it back.
          { for key, at in { xPos = (index % 3) * 16, yPos = floor(index / 3) * 12 } : key => at if at > 0 },
        )],
        [{
          yPos   = ceil(length(local.chart_widgets) / 3) * 12
          width  = 48
          height = 16
          widget = {
            title = "Warnings and errors"
            logsPanel = {
              filter = "severity>=WARNING AND (${join(" OR ", [for place in values(local.log_of) : "(${place})"])})"
            }
          }
        }],
      )
    }
  })

  depends_on = [time_sleep.apis]
}
