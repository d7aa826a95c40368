# Who may do what: an identity for each function and job, and roles on the very resources that it touches.

resource "google_project_service" "api" {
  for_each = toset(local.services)

  project = var.project_id
  service = each.value
  # Others in the project may need them.
  disable_on_destroy = false
}

# An API that was enabled a moment ago still answers 403 SERVICE_DISABLED, which the provider does not repeat. Whatever
# needs nothing else waits for this.
resource "time_sleep" "apis" {
  create_duration = "${var.api_settle_seconds}s"
  triggers        = { services = join(" ", sort([for api in google_project_service.api : api.service])) }
}

# Identities of Google's own, which it makes when they are first asked for. A grant to one that does not exist fails.
resource "terraform_data" "service_agent" {
  for_each = toset(["cloudfunctions.googleapis.com", "pubsub.googleapis.com"])

  triggers_replace = [var.project_id]

  provisioner "local-exec" {
    command = join(" ", [
      var.gcloud, "beta", "services", "identity", "create",
      "--service=${each.value}",
      "--project=${var.project_id}",
      "--quiet",
    ])
  }

  depends_on = [time_sleep.apis]
}

resource "google_service_account" "service" {
  for_each = merge(
    { for name, function in local.functions : name => "Turnout's function ${name}" },
    { for name, job in local.jobs : name => "Turnout's job ${name}" },
    {
      scheduler = "Calls Turnout's functions and jobs on schedule"
      build     = "Builds Turnout's functions and jobs"
    },
  )

  project      = var.project_id
  account_id   = "${var.prefix}-${each.key}"
  display_name = "${var.prefix}: ${each.key}"
  description  = each.value

  depends_on = [time_sleep.apis]
}

locals {
  # Put together from what is known while planning, so that a plan shows who gets what.
  emails = {
    for name, account in google_service_account.service :
    name => "${account.account_id}@${var.project_id}.iam.gserviceaccount.com"
  }
  members = { for name, email in local.emails : name => "serviceAccount:${email}" }

  # The table's roles, one by one: "vote pubsub.publisher:topic" => who, which role, on what.
  grants = merge([
    for name, service in merge(local.functions, local.jobs) : {
      for role in service.roles : "${name} ${role}" => {
        name = name
        role = "roles/${split(":", role)[0]}"
        on   = split(":", role)[1]
      }
    }
  ]...)

  # Read off a resource: a data source that waited for the APIs would be unknown whenever one is added, and so would all
  # that follows from it.
  project_number = google_storage_bucket.source.project_number

  agents = {
    # Moves what was delivered too often.
    pubsub = "serviceAccount:service-${local.project_number}@gcp-sa-pubsub.iam.gserviceaccount.com"
    # Looks the functions' images up in their repository.
    functions = "serviceAccount:service-${local.project_number}@gcf-admin-robot.iam.gserviceaccount.com"
  }

  databases = {
    firestore = google_firestore_database.counters.name
    datastore = google_firestore_database.record.name
  }
}

# The queue. A grant goes with its resource: when that is replaced, so is the grant.

resource "google_pubsub_topic_iam_member" "votes" {
  for_each = { for key, grant in local.grants : key => grant if grant.on == "topic" }

  project = var.project_id
  topic   = google_pubsub_topic.votes.name
  role    = each.value.role
  member  = local.members[each.value.name]

  lifecycle {
    replace_triggered_by = [google_pubsub_topic.votes.id]
  }
}

resource "google_pubsub_subscription_iam_member" "votes" {
  for_each = { for key, grant in local.grants : key => grant if grant.on == "subscription" }

  project      = var.project_id
  subscription = google_pubsub_subscription.votes.name
  role         = each.value.role
  member       = local.members[each.value.name]

  lifecycle {
    replace_triggered_by = [google_pubsub_subscription.votes.id]
  }
}

resource "google_pubsub_topic_iam_member" "dead_letters" {
  for_each = { for key, grant in local.grants : key => grant if grant.on == "dead_letter_topic" }

  project = var.project_id
  topic   = google_pubsub_topic.dead_letters.name
  role    = each.value.role
  member  = local.members[each.value.name]

  lifecycle {
    replace_triggered_by = [google_pubsub_topic.dead_letters.id]
  }
}

resource "google_pubsub_topic_iam_member" "pubsub_buries" {
  project = var.project_id
  topic   = google_pubsub_topic.dead_letters.name
  role    = "roles/pubsub.publisher"
  member  = local.agents.pubsub

  depends_on = [terraform_data.service_agent]

  lifecycle {
    replace_triggered_by = [google_pubsub_topic.dead_letters.id]
  }
}

resource "google_pubsub_subscription_iam_member" "pubsub_takes" {
  project      = var.project_id
  subscription = google_pubsub_subscription.votes.name
  role         = "roles/pubsub.subscriber"
  member       = local.agents.pubsub

  depends_on = [terraform_data.service_agent]

  lifecycle {
    replace_triggered_by = [google_pubsub_subscription.votes.id]
  }
}

# The databases. They have no policy of their own: a condition on the project's policy names the one database.

resource "google_project_iam_member" "databases" {
  for_each = { for key, grant in local.grants : key => grant if contains(keys(local.databases), grant.on) }

  project = var.project_id
  role    = each.value.role
  member  = local.members[each.value.name]

  condition {
    title       = "${local.databases[each.value.on]} only"
    description = "Turnout's ${each.value.name} uses this database and no other."
    expression  = "resource.name == \"projects/${var.project_id}/databases/${local.databases[each.value.on]}\""
  }

  depends_on = [time_sleep.apis]
}

# The pepper.

resource "google_secret_manager_secret_iam_member" "pepper" {
  for_each = { for key, grant in local.grants : key => grant if grant.on == "pepper" }

  project   = var.project_id
  secret_id = local.pepper_secret
  role      = each.value.role
  member    = local.members[each.value.name]
}

# The builds.

resource "google_storage_bucket_iam_member" "build_reads_source" {
  bucket = google_storage_bucket.source.name
  role   = "roles/storage.objectViewer"
  member = local.members["build"]
}

# Cloud Functions copies the sources into a bucket of its own, which exists from the first function on.
resource "google_project_iam_member" "build_reads_functions_copy" {
  project = var.project_id
  role    = "roles/storage.objectViewer"
  member  = local.members["build"]

  condition {
    title       = "${var.prefix} functions sources only"
    description = "The bucket in which Cloud Functions keeps the sources that it builds."
    expression  = "resource.name.startsWith(\"projects/_/buckets/gcf-v2-sources-${local.project_number}-${var.region}\")"
  }
}

resource "google_artifact_registry_repository_iam_member" "build_writes_images" {
  project    = var.project_id
  location   = google_artifact_registry_repository.images.location
  repository = google_artifact_registry_repository.images.repository_id
  role       = "roles/artifactregistry.writer"
  member     = local.members["build"]
}

resource "google_artifact_registry_repository_iam_member" "functions_read_images" {
  project    = var.project_id
  location   = google_artifact_registry_repository.images.location
  repository = google_artifact_registry_repository.images.repository_id
  role       = "roles/artifactregistry.reader"
  member     = local.agents.functions

  depends_on = [terraform_data.service_agent]
}

# Log entries belong to the project: there is nothing smaller to grant this on.
resource "google_project_iam_member" "build_logs" {
  project = var.project_id
  role    = "roles/logging.logWriter"
  member  = local.members["build"]

  depends_on = [time_sleep.apis]
}

# Who may call what.

resource "google_cloud_run_v2_service_iam_member" "caller" {
  for_each = merge(
    merge([
      for name, function in local.functions : {
        for member in var.public_members : "${name} ${member}" => { name = name, member = member }
      } if function.access == "public" && !var.invoker_check_disabled
    ]...),
    { for member in var.poll_owners : "polls ${member}" => { name = "polls", member = member } },
    { "persist scheduler" = { name = "persist", member = local.members["scheduler"] } },
  )

  project  = var.project_id
  location = var.region
  # Cloud Functions names the service as the function; on the function itself this role cannot be granted.
  name   = google_cloudfunctions2_function.function[each.value.name].name
  role   = "roles/run.invoker"
  member = each.value.member

  lifecycle {
    # Any of them: an index can be no more than each.key here.
    replace_triggered_by = [terraform_data.function_ids]
  }
}

# Under domain-restricted sharing, IAM refuses allUsers. The function's service can leave the question out instead. Whatever
# deploys the function anew is followed by the command: `update_time` would be the old one while planning, and the next plan
# never empty.
resource "terraform_data" "invoker_check" {
  for_each = var.invoker_check_disabled ? { for name, function in local.functions : name => function if function.access == "public" } : {}

  triggers_replace = [
    google_cloudfunctions2_function.function[each.key].id,
    google_storage_bucket_object.source.name,
    sha256(jsonencode([local.common_settings, each.value, local.sizes[each.key], local.labels, var.runtime, var.kms_key])),
  ]

  provisioner "local-exec" {
    command = join(" ", [
      var.gcloud, "run", "services", "update", google_cloudfunctions2_function.function[each.key].name,
      "--project=${var.project_id}",
      "--region=${var.region}",
      "--no-invoker-iam-check",
      "--quiet",
    ])
  }
}

# Changes when a function is replaced, which drops the grants on its service.
resource "terraform_data" "function_ids" {
  input = { for name, function in google_cloudfunctions2_function.function : name => function.id }
}

resource "google_cloud_run_v2_job_iam_member" "scheduler" {
  for_each = local.jobs

  project  = var.project_id
  location = var.region
  name     = google_cloud_run_v2_job.job[each.key].name
  role     = "roles/run.invoker"
  member   = local.members["scheduler"]

  lifecycle {
    replace_triggered_by = [google_cloud_run_v2_job.job[each.key].id]
  }
}

# A new grant takes a while to reach every corner of IAM, and a function whose secret or build is refused fails for good.
resource "time_sleep" "access" {
  create_duration = "${var.access_settle_seconds}s"
  triggers = {
    grants = sha256(jsonencode([local.grants, var.project_id, var.prefix, var.region, local.pepper_secret]))
  }

  depends_on = [
    google_artifact_registry_repository_iam_member.build_writes_images,
    google_artifact_registry_repository_iam_member.functions_read_images,
    google_project_iam_member.build_logs,
    google_project_iam_member.build_reads_functions_copy,
    google_project_iam_member.databases,
    google_pubsub_subscription_iam_member.pubsub_takes,
    google_pubsub_subscription_iam_member.votes,
    google_pubsub_topic_iam_member.dead_letters,
    google_pubsub_topic_iam_member.pubsub_buries,
    google_pubsub_topic_iam_member.votes,
    google_secret_manager_secret_iam_member.pepper,
    google_storage_bucket_iam_member.build_reads_source,
  ]
}
