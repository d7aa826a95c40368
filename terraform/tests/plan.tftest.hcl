# What a plan must show: the invariants that no schema knows. Few runs with many assertions: each run plans everything.

mock_provider "google" {
  mock_resource "google_storage_bucket" {
    defaults = { project_number = 123456789012 }
  }
}

# Known before the apply, as in every plan but the first.
override_resource {
  target          = time_rotating.patched
  override_during = plan
  values          = { rfc3339 = "2026-11-01T00:00:00Z" }
}

variables {
  project_id   = "demo-project"
  alert_emails = ["ada@example.com"]
}

run "defaults" {
  command = plan

  # The queue.

  assert {
    condition     = google_pubsub_subscription.votes.expiration_policy[0].ttl == "" && google_pubsub_subscription.dead_letters.expiration_policy[0].ttl == ""
    error_message = "A subscription must not expire, however long nobody votes."
  }

  assert {
    condition     = google_pubsub_subscription.votes.ack_deadline_seconds == 60 && local.jobs.drain.settings.TURNOUT_ACK_DEADLINE_SECONDS == "60"
    error_message = "The drain must know the subscription's acknowledgement deadline."
  }

  assert {
    condition     = google_pubsub_subscription.votes.message_retention_duration == "${tonumber(local.jobs.drain.settings.TURNOUT_MESSAGE_RETENTION_DAYS) * 86400}s"
    error_message = "The drain must know the retention: the ledger's entries outlive it."
  }

  assert {
    condition     = google_pubsub_subscription.dead_letters.message_retention_duration == "604800s"
    error_message = "A dead letter must not outlive the week by which the ledger's entries outlive the retention: redriven later, it could count twice."
  }

  assert {
    condition     = google_pubsub_subscription.votes.dead_letter_policy[0].max_delivery_attempts == 100
    error_message = "A failed lease counts as an attempt: the service's own dead-lettering is the last resort."
  }

  assert {
    condition = alltrue([
      for name in ["polls", "persist"] :
      tonumber(local.functions[name].settings.TURNOUT_ACK_DEADLINE_SECONDS) == google_pubsub_subscription.votes.ack_deadline_seconds &&
      "${local.functions[name].settings.TURNOUT_RETRY_BACKOFF_MAX_SECONDS}s" == google_pubsub_subscription.votes.retry_policy[0].maximum_backoff
    ])
    error_message = "Those who certify must wait for a lease and for the retry back-off: until then an empty queue proves nothing."
  }

  assert {
    condition     = google_pubsub_subscription.votes.enable_exactly_once_delivery == false && google_pubsub_subscription.votes.retain_acked_messages == false && google_pubsub_topic.votes.message_retention_duration == null
    error_message = "Counted messages must go: they join keys and choices."
  }

  assert {
    condition = alltrue([
      for topic in [google_pubsub_topic.votes, google_pubsub_topic.dead_letters] :
      one(topic.message_storage_policy).allowed_persistence_regions == toset(["europe-west1"])
    ])
    error_message = "Messages must stay in the region."
  }

  assert {
    condition     = length(google_pubsub_subscription.votes.push_config) == 0 && google_pubsub_subscription.votes.filter == null
    error_message = "The drain pulls, and pulls everything."
  }

  # The data is protected.

  assert {
    condition = alltrue([
      for database in [google_firestore_database.counters, google_firestore_database.record] :
      database.deletion_policy == "PREVENT" && database.delete_protection_state == "DELETE_PROTECTION_ENABLED" && database.point_in_time_recovery_enablement == "POINT_IN_TIME_RECOVERY_ENABLED"
    ])
    error_message = "The databases must be protected, and readable as of the last 7 days."
  }

  assert {
    condition = alltrue([
      for each in [google_pubsub_topic.votes, google_pubsub_topic.dead_letters, google_pubsub_subscription.votes, google_pubsub_subscription.dead_letters] :
      each.deletion_policy == "PREVENT"
    ])
    error_message = "Topics and subscriptions hold votes: they must be protected."
  }

  assert {
    condition     = google_secret_manager_secret.pepper[0].deletion_protection
    error_message = "Without its pepper a poll's voters could vote again."
  }

  assert {
    condition     = google_firestore_database.counters.type == "FIRESTORE_NATIVE" && google_firestore_database.record.type == "DATASTORE_MODE"
    error_message = "The counters are in a native database, the record in Datastore mode."
  }

  assert {
    condition     = alltrue([for api in google_project_service.api : api.disable_on_destroy == false])
    error_message = "Others in the project may need the APIs."
  }

  # Indexes.

  assert {
    condition     = alltrue([for field in google_firestore_field.expiry : field.field == "expire_at" && length(field.ttl_config) == 1 && length(field.index_config) == 1 && length(field.index_config[0].indexes) == 0])
    error_message = "expire_at must have a TTL policy and no index."
  }

  assert {
    condition     = alltrue([for field in google_firestore_field.unindexed : length(field.index_config) == 1 && length(field.index_config[0].indexes) == 0 && length(field.ttl_config) == 0])
    error_message = "An exemption has an empty index_config, and no TTL."
  }

  assert {
    condition     = !contains(keys(google_firestore_field.unindexed), "drains.seen_at") && !contains(keys(google_firestore_field.unindexed), "polls.created_at")
    error_message = "Queries ask for drains.seen_at and polls.created_at: they need their indexes."
  }

  assert {
    condition     = contains(keys(google_firestore_field.unindexed), "shards.updated_at") && contains(keys(google_firestore_field.unindexed), "shards.counts")
    error_message = "Shards are written all the time: nothing of them may be indexed."
  }

  assert {
    condition     = [for field in google_firestore_index.ledger_sums.fields : field.field_path][0] == "poll" && toset([for field in google_firestore_index.ledger_sums.fields : field.field_path]) == toset(["poll", "votes", "duplicates", "keys"])
    error_message = "The audit's sums need one index over poll and the three summed fields."
  }

  assert {
    condition     = google_firestore_index.history.api_scope == "DATASTORE_MODE_API" && google_firestore_index.history.database == google_firestore_database.record.name
    error_message = "The history is queried in the Datastore-mode database."
  }

  # Who may do what.

  assert {
    condition     = length(toset(values(local.emails))) == length(local.functions) + length(local.jobs) + 2
    error_message = "Each function, each job, the schedules and the builds must have an identity of their own."
  }

  assert {
    condition     = alltrue([for email in values(local.emails) : can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]@demo-project\\.iam\\.gserviceaccount\\.com$", email))])
    error_message = "A service account's id has 6 to 30 characters."
  }

  assert {
    condition     = [for grant in google_secret_manager_secret_iam_member.pepper : grant.member] == ["serviceAccount:turnout-vote@demo-project.iam.gserviceaccount.com"]
    error_message = "The intake alone may read the pepper."
  }

  assert {
    condition     = [for grant in google_pubsub_topic_iam_member.votes : "${grant.role} ${grant.member}"] == ["roles/pubsub.publisher serviceAccount:turnout-vote@demo-project.iam.gserviceaccount.com"]
    error_message = "The intake alone may publish votes."
  }

  assert {
    condition     = [for grant in google_pubsub_subscription_iam_member.votes : "${grant.role} ${grant.member}"] == ["roles/pubsub.subscriber serviceAccount:turnout-drain@demo-project.iam.gserviceaccount.com"]
    error_message = "The drain alone may lease votes."
  }

  assert {
    condition = { for key, grant in google_project_iam_member.databases : key => "${grant.role} ${grant.member} ${one(grant.condition).expression}" } == {
      "vote datastore.viewer:firestore"    = "roles/datastore.viewer serviceAccount:turnout-vote@demo-project.iam.gserviceaccount.com resource.name == \"projects/demo-project/databases/turnout-counters\""
      "results datastore.viewer:firestore" = "roles/datastore.viewer serviceAccount:turnout-results@demo-project.iam.gserviceaccount.com resource.name == \"projects/demo-project/databases/turnout-counters\""
      "results datastore.viewer:datastore" = "roles/datastore.viewer serviceAccount:turnout-results@demo-project.iam.gserviceaccount.com resource.name == \"projects/demo-project/databases/turnout-record\""
      "polls datastore.user:firestore"     = "roles/datastore.user serviceAccount:turnout-polls@demo-project.iam.gserviceaccount.com resource.name == \"projects/demo-project/databases/turnout-counters\""
      "polls datastore.user:datastore"     = "roles/datastore.user serviceAccount:turnout-polls@demo-project.iam.gserviceaccount.com resource.name == \"projects/demo-project/databases/turnout-record\""
      "drain datastore.user:firestore"     = "roles/datastore.user serviceAccount:turnout-drain@demo-project.iam.gserviceaccount.com resource.name == \"projects/demo-project/databases/turnout-counters\""
      "audit datastore.viewer:firestore"   = "roles/datastore.viewer serviceAccount:turnout-audit@demo-project.iam.gserviceaccount.com resource.name == \"projects/demo-project/databases/turnout-counters\""
      "audit datastore.viewer:datastore"   = "roles/datastore.viewer serviceAccount:turnout-audit@demo-project.iam.gserviceaccount.com resource.name == \"projects/demo-project/databases/turnout-record\""
      "persist datastore.user:firestore"   = "roles/datastore.user serviceAccount:turnout-persist@demo-project.iam.gserviceaccount.com resource.name == \"projects/demo-project/databases/turnout-counters\""
      "persist datastore.user:datastore"   = "roles/datastore.user serviceAccount:turnout-persist@demo-project.iam.gserviceaccount.com resource.name == \"projects/demo-project/databases/turnout-record\""
    }
    error_message = "Each identity may use the databases of the table and no others."
  }

  assert {
    condition = { for key, grant in google_cloud_run_v2_service_iam_member.caller : key => "${grant.role} ${grant.name} ${grant.member}" } == {
      "vote allUsers"     = "roles/run.invoker turnout-vote allUsers"
      "results allUsers"  = "roles/run.invoker turnout-results allUsers"
      "persist scheduler" = "roles/run.invoker turnout-persist serviceAccount:turnout-scheduler@demo-project.iam.gserviceaccount.com"
    }
    error_message = "Everyone may vote and read; Cloud Scheduler alone may have totals persisted."
  }

  assert {
    condition     = alltrue([for name in ["polls", "persist"] : local.functions[name].access == "private"])
    error_message = "polls and persist are private."
  }

  # The functions.

  assert {
    condition     = toset(keys(google_cloudfunctions2_function.function)) == toset(["vote", "results", "polls", "persist"])
    error_message = "There are four functions."
  }

  assert {
    condition = alltrue([
      for name, function in google_cloudfunctions2_function.function :
      function.build_config[0].entry_point == name && function.build_config[0].environment_variables.GOOGLE_FUNCTION_SOURCE == "functions/main.py" && function.build_config[0].source[0].storage_source[0].object == google_storage_bucket_object.source.name
    ])
    error_message = "Each function is its target in functions/main.py, built from the one zip."
  }

  assert {
    condition = alltrue([
      for function in google_cloudfunctions2_function.function :
      function.service_config[0].environment_variables.FUNCTION_USE_ASGI == "true" && function.service_config[0].max_instance_request_concurrency > 1 && tonumber(function.service_config[0].available_cpu) >= 1
    ])
    error_message = "An instance answers many requests at once, which wants ASGI and a whole CPU."
  }

  assert {
    condition = alltrue([
      for function in google_cloudfunctions2_function.function :
      alltrue([for name in keys(function.service_config[0].environment_variables) : !strcontains(lower(name), "pepper")])
    ])
    error_message = "The pepper is a secret, never a plain variable."
  }

  assert {
    condition     = { for name, function in google_cloudfunctions2_function.function : name => [for secret in function.service_config[0].secret_environment_variables : "${secret.key} ${secret.secret} ${secret.version}"] } == { vote = ["TURNOUT_PEPPER turnout-pepper 1"], results = [], polls = [], persist = [] }
    error_message = "The intake alone gets the pepper, at a fixed version."
  }

  assert {
    condition     = { for name, function in google_cloudfunctions2_function.function : name => function.service_config[0].ingress_settings } == { vote = "ALLOW_ALL", results = "ALLOW_ALL", polls = "ALLOW_ALL", persist = "ALLOW_INTERNAL_ONLY" }
    error_message = "Nobody outside may reach persist."
  }

  assert {
    condition = alltrue([
      for name, function in google_cloudfunctions2_function.function :
      function.service_config[0].max_instance_count >= 1 && function.service_config[0].max_instance_count <= 1000
    ])
    error_message = "Each function has a ceiling."
  }

  # The jobs.

  assert {
    condition = { for name, job in google_cloud_run_v2_job.job : name => join(" ", concat(job.template[0].template[0].containers[0].command, job.template[0].template[0].containers[0].args)) } == {
      drain = "/cnb/lifecycle/launcher -- python -m jobs.drain"
      audit = "/cnb/lifecycle/launcher -- python -m jobs.audit"
    }
    error_message = "A buildpack's image finds its Python through the launcher."
  }

  assert {
    condition = alltrue([
      for job in google_cloud_run_v2_job.job :
      startswith(job.template[0].template[0].containers[0].image, "europe-west1-docker.pkg.dev/demo-project/turnout-images/jobs:python313-20261101-") && endswith(job.template[0].template[0].containers[0].image, substr(data.archive_file.source.output_sha256, 0, 32))
    ])
    error_message = "The image is named by the digest of the sources."
  }

  assert {
    condition     = terraform_data.job_image[0].triggers_replace == google_cloud_run_v2_job.job["drain"].template[0].template[0].containers[0].image
    error_message = "What the jobs run is what is built."
  }

  assert {
    condition     = google_cloud_run_v2_job.job["drain"].template[0].template[0].max_retries == 0 && google_cloud_run_v2_job.job["drain"].deletion_protection == false
    error_message = "The next execution takes over from a drain that failed."
  }

  assert {
    condition     = tonumber(trimsuffix(google_cloud_run_v2_job.job["drain"].template[0].template[0].timeout, "s")) > tonumber(local.jobs.drain.settings.TURNOUT_IDLE_SECONDS)
    error_message = "A drain ends by itself before it is ended."
  }

  # The log.

  assert {
    condition     = strcontains(google_logging_project_exclusion.votes_requests[0].filter, "resource.labels.service_name=\"turnout-vote\"") && strcontains(google_logging_project_exclusion.votes_requests[0].filter, "run.googleapis.com%2Frequests")
    error_message = "No log may hold the address and moment of each voter."
  }

  # The schedules.

  assert {
    condition = alltrue([
      for deadline in concat([google_cloud_scheduler_job.persist.attempt_deadline], [for job in google_cloud_scheduler_job.job : job.attempt_deadline]) :
      tonumber(trimsuffix(deadline, "s")) >= 15 && tonumber(trimsuffix(deadline, "s")) <= 1800
    ])
    error_message = "Cloud Scheduler's attempt deadline is 15 s to 30 min."
  }

  assert {
    condition     = google_cloud_scheduler_job.persist.attempt_deadline == "${google_cloudfunctions2_function.function["persist"].service_config[0].timeout_seconds}s"
    error_message = "Cloud Scheduler waits for persist as long as it may take."
  }

  assert {
    condition     = length(google_cloud_scheduler_job.persist.http_target[0].oidc_token) == 1 && length(google_cloud_scheduler_job.persist.http_target[0].oauth_token) == 0
    error_message = "A function wants an identity token."
  }

  assert {
    condition = alltrue([
      for name, job in google_cloud_scheduler_job.job :
      length(job.http_target[0].oauth_token) == 1 && length(job.http_target[0].oidc_token) == 0 && job.http_target[0].uri == "https://run.googleapis.com/v2/projects/demo-project/locations/europe-west1/jobs/turnout-${name}:run"
    ])
    error_message = "jobs:run is an API of Google's: it wants an access token."
  }

  assert {
    condition = alltrue([
      for job in concat([google_cloud_scheduler_job.persist], values(google_cloud_scheduler_job.job)) :
      length(job.pubsub_target) == 0 && length(job.app_engine_http_target) == 0 && job.retry_config[0].retry_count <= 5
    ])
    error_message = "A schedule has one target, and retries 5 times at most."
  }

  # The sources.

  assert {
    condition     = google_storage_bucket.source.uniform_bucket_level_access && google_storage_bucket.source.public_access_prevention == "enforced"
    error_message = "The bucket must never be public."
  }

  assert {
    condition     = google_storage_bucket_object.source.name == "source-${data.archive_file.source.output_sha256}.zip"
    error_message = "Other sources have another name."
  }

  assert {
    condition     = contains(local.source_files, "functions/main.py") && contains(local.source_files, "functions/votes/results.html") && contains(local.source_files, "jobs/drain.py") && contains(local.source_files, "turnout/gcp/votes/wiring.py") && contains(local.source_files, "requirements.txt")
    error_message = "The zip lacks something that functions or jobs need."
  }

  assert {
    condition     = alltrue([for file in local.source_files : can(regex("^(functions|jobs|turnout)/.+\\.(py|html)$|^requirements\\.txt$", file)) && !startswith(file, "turnout/memory/")])
    error_message = "The zip holds something that neither functions nor jobs need."
  }

  assert {
    condition     = length(google_artifact_registry_repository.images.cleanup_policies) == 2
    error_message = "Old images must go, the newest must stay."
  }
}

run "otherwise" {
  command = plan

  variables {
    public_members        = []
    poll_owners           = ["group:office@example.com"]
    functions             = { vote = { cpu = 2, workers = 2, min_instances = 1 } }
    region_vcpu           = 30
    job_image             = "europe-docker.pkg.dev/demo/images/turnout@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    job_command           = ["python"]
    schedules_paused      = true
    alert_emails          = ["ada@example.com"]
    notification_channels = ["projects/demo-project/notificationChannels/1"]
    allow_destroy_data    = true
    log_votes_requests    = true
  }

  # Closed to the public.

  assert {
    condition     = keys(google_cloud_run_v2_service_iam_member.caller) == ["persist scheduler", "polls group:office@example.com"]
    error_message = "Without public members nobody but the poll owners and Cloud Scheduler may call."
  }

  # Sizes are changed one by one.

  assert {
    condition     = local.sizes.vote == { cpu = 2, memory_mib = 512, workers = 2, concurrency = 250, min_instances = 1, max_instances = 8, timeout_seconds = 60 } && local.sizes.results.cpu == 1
    error_message = "What var.functions does not say stays at its default."
  }

  assert {
    condition     = google_cloudfunctions2_function.function["vote"].service_config[0].environment_variables.WORKERS == "2"
    error_message = "functions-framework is told its number of processes."
  }

  # An image of one's own.

  assert {
    condition     = length(terraform_data.job_image) == 0 && google_cloud_run_v2_job.job["audit"].template[0].template[0].containers[0].image == var.job_image && google_cloud_run_v2_job.job["audit"].template[0].template[0].containers[0].command == tolist(["python"])
    error_message = "A given image is used as it is, and nothing is built."
  }

  # Requests are logged.

  assert {
    condition     = length(google_logging_project_exclusion.votes_requests) == 0
    error_message = "With log_votes_requests nothing is left out of the log."
  }

  # The schedules rest.

  assert {
    condition     = google_cloud_scheduler_job.persist.paused && alltrue([for job in google_cloud_scheduler_job.job : job.paused]) && !google_monitoring_alert_policy.persist_missed.enabled
    error_message = "While the schedules rest, nothing is missed."
  }

  # Alerts have somewhere to go.

  assert {
    condition     = google_monitoring_notification_channel.email["ada@example.com"].labels.email_address == "ada@example.com"
    error_message = "Each address gets a channel."
  }

  assert {
    condition     = length(google_monitoring_alert_policy.audit_failed.alert_strategy[0].notification_rate_limit) == 1
    error_message = "An alert on log lines must limit its rate."
  }

  assert {
    condition     = alltrue([for metric in google_logging_metric.figure : startswith(metric.value_extractor, "EXTRACT(jsonPayload.") && metric.metric_descriptor[0].value_type == "DISTRIBUTION"])
    error_message = "A figure is taken out of the line as a distribution."
  }

  assert {
    condition     = alltrue([for metric in google_logging_metric.event : metric.metric_descriptor[0].value_type == "INT64" && metric.value_extractor == null])
    error_message = "An event is counted, not measured."
  }

  assert {
    condition     = length(jsondecode(google_monitoring_dashboard.turnout.dashboard_json).mosaicLayout.tiles) == length(local.charts) + 1
    error_message = "The dashboard shows every chart, and the log."
  }

  assert {
    condition = alltrue([
      for tile in jsondecode(google_monitoring_dashboard.turnout.dashboard_json).mosaicLayout.tiles :
      try(tile.xPos, 0) + tile.width <= 48
    ])
    error_message = "A tile does not fit the dashboard's 48 columns."
  }

  assert {
    condition = alltrue(flatten([
      for chart in local.charts : [for line in chart.lines : [
        for name in try(regexall("user_turnout_([a-z_]+?)(?:_sum)?\\[", line.promql), []) :
        contains(concat(keys(local.counted_events), keys(local.drain_figures)), name[0])
      ]]
    ]))
    error_message = "A chart asks for a metric that is not made."
  }

  # Data may go when that is said.

  assert {
    condition = alltrue([
      for database in [google_firestore_database.counters, google_firestore_database.record] :
      database.deletion_policy == "DELETE" && database.delete_protection_state == "DELETE_PROTECTION_DISABLED"
    ])
    error_message = "With allow_destroy_data the databases must be deletable, both for Terraform and for Firestore."
  }

  assert {
    condition     = google_pubsub_subscription.votes.deletion_policy == "DELETE" && !google_secret_manager_secret.pepper[0].deletion_protection
    error_message = "With allow_destroy_data queue and pepper must be deletable."
  }
}

run "a_second_copy_has_other_names" {
  command = plan

  variables {
    prefix = "second"
  }

  assert {
    condition = alltrue([
      for name in concat(
        values(local.names),
        [google_storage_bucket.source.name, google_artifact_registry_repository.images.repository_id, google_secret_manager_secret.pepper[0].secret_id, google_cloud_scheduler_job.persist.name],
        [for account in google_service_account.service : account.account_id],
        [for function in google_cloudfunctions2_function.function : function.name],
        [for job in google_cloud_run_v2_job.job : job.name],
        [for job in google_cloud_scheduler_job.job : job.name],
        [for metric in google_logging_metric.event : metric.name],
        [for metric in google_logging_metric.figure : metric.name],
      ) : startswith(name, "second") || name == "demo-project-second-source"
    ])
    error_message = "Every name begins with the prefix, so that copies stay apart."
  }
}
