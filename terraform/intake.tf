# The doors: the functions that HTTP reaches. `vote` is the intake; results, polls and persist are deployed the same way.

resource "google_cloudfunctions2_function" "function" {
  #checkov:skip=CKV_GCP_124:voters come from everywhere; var.ingress closes all but the load balancer, and persist is internal
  for_each = local.functions

  project     = var.project_id
  location    = var.region
  name        = "${var.prefix}-${each.key}"
  description = each.value.says
  labels      = local.labels

  kms_key_name = one(local.kms_keys)

  build_config {
    runtime           = var.runtime
    entry_point       = each.key
    service_account   = "projects/${var.project_id}/serviceAccounts/${local.emails["build"]}"
    docker_repository = google_artifact_registry_repository.images.id
    environment_variables = {
      GOOGLE_FUNCTION_SOURCE = "functions/main.py"
    }

    # Google patches the system beneath the function by itself.
    automatic_update_policy {}

    source {
      storage_source {
        bucket = google_storage_bucket.source.name
        object = google_storage_bucket_object.source.name
      }
    }
  }

  service_config {
    service_account_email            = local.emails[each.key]
    ingress_settings                 = each.value.ingress
    available_cpu                    = tostring(local.sizes[each.key].cpu)
    available_memory                 = "${local.sizes[each.key].memory_mib}Mi"
    max_instance_request_concurrency = local.sizes[each.key].concurrency
    min_instance_count               = local.sizes[each.key].min_instances
    max_instance_count               = local.sizes[each.key].max_instances
    timeout_seconds                  = local.sizes[each.key].timeout_seconds
    all_traffic_on_latest_revision   = true

    environment_variables = merge(local.common_settings, each.value.settings, {
      # How functions-framework serves: many requests at once, in so many processes.
      FUNCTION_USE_ASGI = "true"
      WORKERS           = tostring(local.sizes[each.key].workers)
    })

    dynamic "secret_environment_variables" {
      for_each = each.value.secrets
      content {
        key        = secret_environment_variables.key
        project_id = var.project_id
        secret     = secret_environment_variables.value.secret
        version    = secret_environment_variables.value.version
      }
    }
  }

  lifecycle {
    precondition {
      condition     = local.sizes[each.key].min_instances <= local.sizes[each.key].max_instances
      error_message = "functions[\"${each.key}\"].min_instances is above its max_instances (${local.sizes[each.key].max_instances}): raise that, too."
    }
  }

  depends_on = [
    google_secret_manager_secret_version.pepper,
    time_sleep.access,
  ]
}

# The pepper: the secret under which voters are hashed. Its value is made in the apply that stores it; no plan and no
# state ever holds it.

resource "google_secret_manager_secret" "pepper" {
  count = var.pepper_secret == "" ? 1 : 0

  project             = var.project_id
  secret_id           = "${var.prefix}-pepper"
  labels              = local.labels
  deletion_protection = !var.allow_destroy_data

  replication {
    user_managed {
      replicas {
        location = var.region

        dynamic "customer_managed_encryption" {
          for_each = local.kms_keys
          content {
            kms_key_name = customer_managed_encryption.value
          }
        }
      }
    }
  }

  depends_on = [time_sleep.apis]
}

locals {
  pepper_secret = var.pepper_secret != "" ? var.pepper_secret : google_secret_manager_secret.pepper[0].secret_id
}

ephemeral "random_password" "pepper" {
  length  = 48
  special = false
}

# Written once. Another version is another pepper: add it yourself, and say so in var.pepper_version.
resource "google_secret_manager_secret_version" "pepper" {
  count = var.pepper_secret == "" ? 1 : 0

  secret                 = google_secret_manager_secret.pepper[0].id
  secret_data_wo         = ephemeral.random_password.pepper.result
  secret_data_wo_version = "1"
  deletion_policy        = var.allow_destroy_data ? "DELETE" : "ABANDON"
}
