# The table of what is deployed: functions, jobs, what each is told, and what each may do. `turnout/deployment.py` is the
# same table for the code; a test holds the two together.

locals {
  names = {
    topic                    = "${var.prefix}-votes"
    subscription             = "${var.prefix}-votes"
    dead_letter_topic        = "${var.prefix}-votes-dead"
    dead_letter_subscription = "${var.prefix}-votes-dead"
    counters                 = "${var.prefix}-counters"
    record                   = "${var.prefix}-record"
  }

  # What every function and job is told.
  common_settings = {
    GOOGLE_CLOUD_PROJECT       = var.project_id
    TURNOUT_FIRESTORE_DATABASE = google_firestore_database.counters.name
  }

  # A message is out of sight while it is leased, and after that for as long as the retry back-off. Those who certify
  # must wait for both before an empty queue proves anything.
  hiding = {
    TURNOUT_ACK_DEADLINE_SECONDS      = tostring(var.ack_deadline_seconds)
    TURNOUT_RETRY_BACKOFF_MAX_SECONDS = tostring(var.retry_backoff_max_seconds)
  }

  functions = {
    vote = {
      says    = "Takes votes and publishes them in bundles."
      access  = "public"
      ingress = var.ingress
      paths   = ["/vote", "/votes"]
      settings = {
        TURNOUT_TOPIC = google_pubsub_topic.votes.name
      }
      secrets = {
        TURNOUT_PEPPER = { secret = local.pepper_secret, version = var.pepper_version }
      }
      roles = ["pubsub.publisher:topic", "datastore.viewer:firestore", "secretmanager.secretAccessor:pepper"]
      size  = { cpu = 1, memory_mib = 512, workers = 1, concurrency = 250, min_instances = 0, max_instances = 8, timeout_seconds = 60 }
    }
    results = {
      says    = "Shows live and persisted totals."
      access  = "public"
      ingress = var.ingress
      paths   = ["/results"]
      settings = {
        TURNOUT_DATASTORE_DATABASE = google_firestore_database.record.name
      }
      secrets = {}
      roles   = ["datastore.viewer:firestore", "datastore.viewer:datastore"]
      size    = { cpu = 1, memory_mib = 512, workers = 1, concurrency = 250, min_instances = 0, max_instances = 3, timeout_seconds = 60 }
    }
    polls = {
      says    = "Creates, lists, opens, closes and certifies polls."
      access  = "private"
      ingress = var.ingress
      paths   = ["/polls"]
      settings = merge(local.hiding, {
        TURNOUT_DATASTORE_DATABASE = google_firestore_database.record.name
      })
      secrets = {}
      roles   = ["datastore.user:firestore", "datastore.user:datastore"]
      size    = { cpu = 1, memory_mib = 512, workers = 1, concurrency = 20, min_instances = 0, max_instances = 1, timeout_seconds = 120 }
    }
    persist = {
      says   = "Persists totals to Datastore, and certifies those that are final."
      access = "private"
      # Cloud Scheduler counts as internal.
      ingress = "ALLOW_INTERNAL_ONLY"
      paths   = ["/persist"]
      settings = merge(local.hiding, {
        TURNOUT_DATASTORE_DATABASE = google_firestore_database.record.name
      })
      secrets = {}
      roles   = ["datastore.user:firestore", "datastore.user:datastore"]
      size    = { cpu = 1, memory_mib = 512, workers = 1, concurrency = 4, min_instances = 0, max_instances = 1, timeout_seconds = 300 }
    }
  }

  jobs = {
    drain = {
      module = "drain"
      settings = {
        TURNOUT_SUBSCRIPTION           = google_pubsub_subscription.votes.name
        TURNOUT_DEAD_LETTER_TOPIC      = google_pubsub_topic.dead_letters.name
        TURNOUT_ACK_DEADLINE_SECONDS   = tostring(var.ack_deadline_seconds)
        TURNOUT_MESSAGE_RETENTION_DAYS = tostring(var.message_retention_days)
        TURNOUT_LANES                  = tostring(var.drain.lanes)
        TURNOUT_IDLE_SECONDS           = tostring(var.drain.idle_seconds)
      }
      roles = ["pubsub.subscriber:subscription", "pubsub.publisher:dead_letter_topic", "datastore.user:firestore"]
      size = {
        tasks           = var.drain.tasks
        parallelism     = coalesce(var.drain.parallelism, var.drain.tasks)
        cpu             = var.drain.cpu
        memory_mib      = var.drain.memory_mib
        timeout_seconds = var.drain.timeout_seconds
        # The next minute's execution takes over what a task left.
        retries = 0
      }
    }
    audit = {
      module = "audit"
      settings = {
        TURNOUT_DATASTORE_DATABASE     = google_firestore_database.record.name
        TURNOUT_MESSAGE_RETENTION_DAYS = tostring(var.message_retention_days)
      }
      roles = ["datastore.viewer:firestore", "datastore.viewer:datastore"]
      size = {
        tasks           = 1
        parallelism     = 1
        cpu             = var.audit.cpu
        memory_mib      = var.audit.memory_mib
        timeout_seconds = var.audit.timeout_seconds
        retries         = 1
      }
    }
  }

  # A function's size: what var.functions says, else the table's.
  sizes = {
    for name, function in local.functions : name => {
      for key, usual in function.size : key => try(coalesce(var.functions[name][key]), usual)
    }
  }

  # No key, or one: what can be encrypted with it takes a block for each.
  kms_keys          = var.kms_key == "" ? [] : [var.kms_key]
  database_kms_keys = var.database_kms_key == "" ? [] : [var.database_kms_key]

  database_location = coalesce(var.database_location, var.region)
  labels            = merge(var.labels, { turnout = var.prefix })

  # With data protected, `terraform destroy` refuses to take databases, queue and pepper away.
  data_deletion_policy = var.allow_destroy_data ? "DELETE" : "PREVENT"

  services = concat(var.budget == null ? [] : ["billingbudgets.googleapis.com"], [
    "artifactregistry.googleapis.com",
    "cloudbuild.googleapis.com",
    "cloudfunctions.googleapis.com",
    "cloudresourcemanager.googleapis.com",
    "cloudscheduler.googleapis.com",
    "datastore.googleapis.com",
    "firestore.googleapis.com",
    "iam.googleapis.com",
    "logging.googleapis.com",
    "monitoring.googleapis.com",
    "pubsub.googleapis.com",
    "run.googleapis.com",
    "secretmanager.googleapis.com",
    "storage.googleapis.com",
  ])
}
