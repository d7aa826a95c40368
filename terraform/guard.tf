# Before anything is destroyed, this is: it was made after everything else. With data protected it refuses, and the destroy
# ends before it has changed anything.

resource "terraform_data" "guard" {
  input = { may_be_destroyed = var.allow_destroy_data }

  provisioner "local-exec" {
    when = destroy
    command = self.input.may_be_destroyed ? "exit 0" : join("; ", [
      "echo 'Nothing was destroyed: the data of this copy is protected.' >&2",
      "echo 'To allow it, run terraform apply with -var allow_destroy_data=true, and then terraform destroy with the same.' >&2",
      "exit 1",
    ])
  }

  depends_on = [
    google_billing_budget.turnout,
    google_cloud_run_v2_job_iam_member.scheduler,
    google_cloud_run_v2_service_iam_member.caller,
    google_cloud_scheduler_job.job,
    google_cloud_scheduler_job.persist,
    google_firestore_backup_schedule.daily,
    google_firestore_backup_schedule.weekly,
    google_firestore_field.expiry,
    google_firestore_field.unindexed,
    google_firestore_index.history,
    google_firestore_index.ledger_sums,
    google_logging_metric.event,
    google_logging_metric.figure,
    google_logging_project_exclusion.votes_requests,
    google_logging_project_sink.turnout,
    google_monitoring_alert_policy.audit_failed,
    google_monitoring_alert_policy.backlog_age,
    google_monitoring_alert_policy.burn,
    google_monitoring_alert_policy.dead_letters,
    google_monitoring_alert_policy.persist_missed,
    google_monitoring_alert_policy.server_errors,
    google_monitoring_alert_policy.unreachable,
    google_monitoring_dashboard.turnout,
    google_pubsub_subscription.dead_letters,
    terraform_data.invoker_check,
  ]
}
