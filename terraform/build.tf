# From the sources to what runs: one zip, whose digest names everything made from it.

locals {
  source_root = var.source_root != "" ? var.source_root : "${path.module}/.."

  # What functions and jobs import, and nothing else: not the tests' services in memory.
  source_files = setsubtract(
    setunion(
      fileset(local.source_root, "functions/**/*.{py,html}"),
      fileset(local.source_root, "jobs/**/*.py"),
      fileset(local.source_root, "turnout/**/*.py"),
      ["requirements.txt"],
    ),
    fileset(local.source_root, "turnout/memory/**"),
  )

  # Two Pythons make two images of the same sources, and so do two states of the system beneath them.
  built_job_image = format(
    "%s-docker.pkg.dev/%s/%s/jobs:%s-%s-%s",
    var.region, var.project_id, google_artifact_registry_repository.images.repository_id,
    var.runtime, formatdate("YYYYMMDD", time_rotating.patched.rfc3339), substr(data.archive_file.source.output_sha256, 0, 32),
  )
  job_image = var.job_image != "" ? var.job_image : local.built_job_image

  # "python313" is 3.13 to the buildpack.
  python_version = replace(var.runtime, "/^python(\\d)(\\d+)$/", "$1.$2.x")

  # Each builder has some Pythons; `latest` would be another one some day.
  builder = {
    python311 = "gcr.io/buildpacks/builder:google-22"
    python312 = "gcr.io/buildpacks/builder:google-22"
    python313 = "gcr.io/buildpacks/builder:google-22"
    python314 = "gcr.io/buildpacks/builder:google-24"
  }[var.runtime]
}

# The same sources make the same zip on every machine: fixed order, modes and times.
data "archive_file" "source" {
  type             = "zip"
  output_path      = "${path.module}/build/${var.prefix}-source.zip"
  output_file_mode = "0644"

  dynamic "source" {
    for_each = local.source_files
    content {
      filename = source.value
      content  = file("${local.source_root}/${source.value}")
    }
  }
}

resource "google_storage_bucket" "source" {
  #checkov:skip=CKV_GCP_62:the builds alone read it; Cloud Audit Logs can tell who else does
  #checkov:skip=CKV_GCP_78:an object is named by its digest and never overwritten
  project  = var.project_id
  name     = "${var.project_id}-${var.prefix}-source"
  location = var.region
  labels   = local.labels

  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  # Nothing in it is data: each apply can make it again.
  force_destroy = true

  # What gcloud staged for a build is of no use after it.
  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      age            = 7 # days
      matches_prefix = ["staging/"]
    }
  }

  dynamic "encryption" {
    for_each = local.kms_keys
    content {
      default_kms_key_name = encryption.value
    }
  }

  depends_on = [time_sleep.apis]
}

resource "google_storage_bucket_object" "source" {
  bucket = google_storage_bucket.source.name
  # Other sources have another name, and another name redeploys.
  name   = "source-${data.archive_file.source.output_sha256}.zip"
  source = data.archive_file.source.output_path

  lifecycle {
    create_before_destroy = true
  }
}

resource "google_artifact_registry_repository" "images" {
  #checkov:skip=CKV_GCP_84:the images hold public sources; var.kms_key is for those who want a key of their own
  project       = var.project_id
  location      = var.region
  repository_id = "${var.prefix}-images"
  description   = "What Turnout's functions and jobs run."
  format        = "DOCKER"
  kms_key_name  = one(local.kms_keys)
  labels        = local.labels

  # What is deployed is always among the newest of its kind.
  cleanup_policies {
    id     = "keep-newest"
    action = "KEEP"
    most_recent_versions {
      keep_count = 5
    }
  }

  cleanup_policies {
    id     = "delete-old"
    action = "DELETE"
    condition {
      tag_state  = "ANY"
      older_than = "2592000s" # 30 days
    }
  }

  depends_on = [time_sleep.apis]
}

# The first apply after so many days builds the image anew, on a system that has been patched meanwhile.
resource "time_rotating" "patched" {
  rotation_days = var.image_patch_days
}

# Cloud Build makes the jobs' image with Google's buildpacks. It is there before a job is made that names it.
resource "terraform_data" "job_image" {
  count = var.job_image == "" ? 1 : 0

  triggers_replace = local.built_job_image

  provisioner "local-exec" {
    command = join(" ", [
      var.gcloud, "builds", "submit", "gs://${google_storage_bucket.source.name}/${google_storage_bucket_object.source.name}",
      "--project=${var.project_id}",
      "--region=${var.region}",
      "--config=${path.module}/job-image.cloudbuild.yaml",
      "--service-account=projects/${var.project_id}/serviceAccounts/${local.emails["build"]}",
      # gcloud copies the sources before it builds them: into this bucket, which the build may read.
      "--gcs-source-staging-dir=gs://${google_storage_bucket.source.name}/staging",
      "--substitutions=_IMAGE=${local.built_job_image},_BUILDER=${local.builder},_PYTHON=${local.python_version}",
      "--suppress-logs",
    ])
  }

  depends_on = [time_sleep.access]
}
