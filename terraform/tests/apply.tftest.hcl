# What only an apply shows: what is made refers to what was made before it. No call leaves this machine: the provider is
# mocked, and `true` stands for gcloud.

mock_provider "google" {
  mock_resource "google_storage_bucket" {
    defaults = { project_number = 123456789012 }
  }

  mock_resource "google_cloudfunctions2_function" {
    defaults = {
      service_config = {
        uri = "https://function-abc-ew.a.run.app"
      }
    }
  }

  mock_resource "google_pubsub_topic" {
    defaults = { id = "projects/demo-project/topics/mocked" }
  }
}

variables {
  project_id            = "demo-project"
  alert_emails          = ["ada@example.com"]
  gcloud                = "true"
  api_settle_seconds    = 0
  access_settle_seconds = 0
}

run "everything" {
  command = apply

  assert {
    condition     = google_cloud_scheduler_job.persist.http_target[0].uri == "https://function-abc-ew.a.run.app/persist" && google_cloud_scheduler_job.persist.http_target[0].oidc_token[0].audience == "https://function-abc-ew.a.run.app"
    error_message = "The audience of the token is the service's own address, without the path."
  }

  assert {
    condition     = google_pubsub_topic_iam_member.pubsub_buries.member == "serviceAccount:service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com" && google_pubsub_topic_iam_member.pubsub_buries.role == "roles/pubsub.publisher" && google_pubsub_topic_iam_member.pubsub_buries.topic == google_pubsub_topic.dead_letters.name
    error_message = "Pub/Sub itself must be able to publish dead letters."
  }

  assert {
    condition     = google_pubsub_subscription_iam_member.pubsub_takes.member == google_pubsub_topic_iam_member.pubsub_buries.member && google_pubsub_subscription_iam_member.pubsub_takes.role == "roles/pubsub.subscriber" && google_pubsub_subscription_iam_member.pubsub_takes.subscription == google_pubsub_subscription.votes.name
    error_message = "Pub/Sub itself must be able to take messages off the subscription."
  }

  assert {
    condition     = one(google_project_iam_member.build_reads_functions_copy.condition).expression == "resource.name.startsWith(\"projects/_/buckets/gcf-v2-sources-123456789012-europe-west1\")"
    error_message = "Builds read the copy of the sources, and no other bucket."
  }

  assert {
    condition     = google_pubsub_subscription.votes.dead_letter_policy[0].dead_letter_topic == google_pubsub_topic.dead_letters.id && google_pubsub_subscription.dead_letters.topic == google_pubsub_topic.dead_letters.id
    error_message = "What is dead-lettered lands in a subscription."
  }

  assert {
    condition     = output.endpoints.vote == "https://function-abc-ew.a.run.app/vote" && strcontains(output.commands, "curl https://function-abc-ew.a.run.app/vote -d poll=finals -d choice=Ada")
    error_message = "The outputs say what to try."
  }

  assert {
    condition     = strcontains(output.environment, "export TURNOUT_DEAD_LETTER_SUBSCRIPTION=turnout-votes-dead")
    error_message = "The command line is told where dead letters are."
  }
}

run "other_sources_redeploy" {
  command = plan

  variables {
    runtime = "python312"
  }

  assert {
    condition     = terraform_data.job_image[0].triggers_replace != run.everything.source.job_image
    error_message = "Another Python is another image."
  }
}

run "a_pepper_of_ones_own" {
  command = apply

  variables {
    pepper_secret  = "voters-pepper"
    pepper_version = "3"
  }

  assert {
    condition     = length(google_secret_manager_secret.pepper) == 0 && length(google_secret_manager_secret_version.pepper) == 0
    error_message = "With a secret of one's own none is made."
  }

  assert {
    condition     = one(values(google_secret_manager_secret_iam_member.pepper)).secret_id == "voters-pepper" && one(google_cloudfunctions2_function.function["vote"].service_config[0].secret_environment_variables).version == "3"
    error_message = "The intake reads the given secret, at the given version."
  }
}

# What is protected would not let itself be torn down.
run "may_be_destroyed" {
  command = apply

  variables {
    allow_destroy_data = true
  }
}
