output "functions" {
  description = "The functions: name, service, address, the paths that a load balancer sends to it, and whether everyone may call it."
  value = {
    for name, function in local.functions : name => {
      name    = google_cloudfunctions2_function.function[name].name
      service = google_cloudfunctions2_function.function[name].name
      url     = google_cloudfunctions2_function.function[name].service_config[0].uri
      paths   = function.paths
      access  = function.access
    }
  }
}

output "endpoints" {
  description = "What clients call."
  value = {
    vote    = "${local.urls.vote}/vote"
    votes   = "${local.urls.vote}/votes"
    results = "${local.urls.results}/results"
    polls   = "${local.urls.polls}/polls"
  }
}

output "commands" {
  description = "Commands to try, from the first poll to the audit: `terraform output -raw commands`."
  value       = <<-EOT
    # 1. Open a poll: as an owner of the project, or one of poll_owners.
    curl ${local.urls.polls}/polls -H "Authorization: Bearer $(gcloud auth print-identity-token)" \
      -H 'Content-Type: application/json' \
      -d '{"id": "finals", "title": "Who is next?", "choices": ["Ada", "Grace", "Radia"]}'

    # 2. Vote.
    curl ${local.urls.vote}/vote -d poll=finals -d choice=Ada

    # 3. Look, also in a browser. The vote is counted within a minute, or at once after the first of these.
    gcloud run jobs execute ${local.job_names.drain} --project=${var.project_id} --region=${var.region}
    curl ${local.urls.results}/results/finals

    # 4. Prove the books.
    gcloud run jobs execute ${local.job_names.audit} --project=${var.project_id} --region=${var.region} --wait
  EOT
}

output "environment" {
  description = "The environment in which the command line works on this copy: `eval \"$(terraform output -raw environment)\"`. Behind a load balancer, set TURNOUT_URL as well."
  value = join("\n", [for name, value in merge({ for name, url in local.urls : "TURNOUT_${upper(name)}_URL" => url }, {
    GOOGLE_CLOUD_PROJECT              = var.project_id
    TURNOUT_REGION                    = var.region
    TURNOUT_PREFIX                    = var.prefix
    TURNOUT_PEPPER_SECRET             = local.pepper_secret
    TURNOUT_TOPIC                     = google_pubsub_topic.votes.name
    TURNOUT_SUBSCRIPTION              = google_pubsub_subscription.votes.name
    TURNOUT_DEAD_LETTER_TOPIC         = google_pubsub_topic.dead_letters.name
    TURNOUT_DEAD_LETTER_SUBSCRIPTION  = google_pubsub_subscription.dead_letters.name
    TURNOUT_FIRESTORE_DATABASE        = google_firestore_database.counters.name
    TURNOUT_DATASTORE_DATABASE        = google_firestore_database.record.name
    TURNOUT_ACK_DEADLINE_SECONDS      = var.ack_deadline_seconds
    TURNOUT_RETRY_BACKOFF_MAX_SECONDS = var.retry_backoff_max_seconds
    TURNOUT_MESSAGE_RETENTION_DAYS    = var.message_retention_days
  }) : "export ${name}=${value}"])
}

output "jobs" {
  description = "The names of the Cloud Run jobs."
  value       = local.job_names
}

output "queue" {
  description = "The topic, its subscription, and those for dead letters."
  value = {
    topic                    = google_pubsub_topic.votes.name
    subscription             = google_pubsub_subscription.votes.name
    dead_letter_topic        = google_pubsub_topic.dead_letters.name
    dead_letter_subscription = google_pubsub_subscription.dead_letters.name
  }
}

output "databases" {
  description = "The Firestore database with the counters, and the Datastore one with the record."
  value = {
    counters = google_firestore_database.counters.name
    record   = google_firestore_database.record.name
  }
}

output "service_accounts" {
  description = "Who runs what: the identity of each function and job, of the schedules and of the builds."
  value       = local.emails
}

output "source" {
  description = "The digest of the deployed sources, and the image of the jobs."
  value = {
    sha256    = data.archive_file.source.output_sha256
    job_image = local.job_image
  }
}

output "dashboard" {
  description = "Where to watch."
  value       = "https://console.cloud.google.com/monitoring/dashboards/builder/${basename(google_monitoring_dashboard.turnout.id)}?project=${var.project_id}"
}

locals {
  urls = {
    for name, function in google_cloudfunctions2_function.function : name => function.service_config[0].uri
  }
}
