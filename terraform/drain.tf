# The jobs: `drain` leases votes, counts and acknowledges them; `audit` proves the books.

resource "google_cloud_run_v2_job" "job" {
  for_each = local.jobs

  project  = var.project_id
  location = var.region
  name     = "${var.prefix}-${each.key}"
  labels   = local.labels
  # It holds no data.
  deletion_protection = false

  template {
    task_count  = each.value.size.tasks
    parallelism = each.value.size.parallelism

    template {
      service_account = local.emails[each.key]
      encryption_key  = one(local.kms_keys)
      timeout         = "${each.value.size.timeout_seconds}s"
      max_retries     = each.value.size.retries

      containers {
        image   = local.job_image
        command = var.job_command
        args    = ["-m", "jobs.${each.value.module}"]

        resources {
          limits = {
            cpu    = tostring(each.value.size.cpu)
            memory = "${each.value.size.memory_mib}Mi"
          }
        }

        dynamic "env" {
          for_each = merge(local.common_settings, each.value.settings)
          content {
            name  = env.key
            value = env.value
          }
        }
      }
    }
  }

  depends_on = [
    terraform_data.job_image,
    time_sleep.access,
  ]
}
