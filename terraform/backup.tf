# Backups of both databases, beside point-in-time recovery, which goes back 7 days. README.md says how one is restored;
# `turnout restore --dry-run` names what it would replace.

locals {
  backed_up = {
    counters = google_firestore_database.counters.name
    record   = google_firestore_database.record.name
  }
}

resource "google_firestore_backup_schedule" "daily" {
  for_each = local.backed_up

  project   = var.project_id
  database  = each.value
  retention = "${var.backups.daily_kept_days * 86400}s"

  daily_recurrence {}
}

resource "google_firestore_backup_schedule" "weekly" {
  for_each = local.backed_up

  project   = var.project_id
  database  = each.value
  retention = "${var.backups.weekly_kept_weeks * 604800}s"

  weekly_recurrence {
    day = "SUNDAY"
  }
}
