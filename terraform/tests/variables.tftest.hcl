# Every validation of every variable refuses what it is there to refuse. A variable with several validations appears in
# as many runs; each run is named after the first of its faults.

mock_provider "google" {}

variables {
  project_id   = "demo-project"
  alert_emails = ["ada@example.com"]
}

run "keys_of_functions" {
  command = plan

  variables {
    project_id            = "My Project"
    region                = "europe-west1-b"
    prefix                = "Turnout_Votes"
    labels                = { "Cost Centre" = "4711" }
    public_members        = ["everyone"]
    poll_owners           = ["allUsers"] # Polls are never open to everyone.
    ingress               = "ALLOW_INTERNAL_ONLY"
    runtime               = "python310"
    source_root           = "/nowhere"
    job_image             = "europe-docker.pkg.dev/demo/images/turnout:latest"
    job_command           = []
    gcloud                = "gcloud; rm -rf /"
    api_settle_seconds    = 900
    access_settle_seconds = 900
    image_patch_days      = 0
    region_vcpu           = 0
    region_memory_gib     = 0
    backups               = { daily_kept_days = 99 }
    kms_key               = "my-key"
    database_kms_key      = "projects/demo-project/locations/eur3"
    log_retention_days    = -1
    uptime_host           = "https://vote.example.com"
    slo                   = 1
    pepper_secret         = "projects/demo-project/secrets/pepper"
    pepper_version        = "latest"
    message_regions       = ["eu"]
    database_location     = "Frankfurt"
    functions             = { votes = { cpu = 1 } }
    drain                 = { tasks = 2, parallelism = 3 }
    schedules             = { persist = "every minute" }
    notification_channels = ["pager"]
    alert_emails          = ["ada"]
    alerts                = { server_error_share = 1 }
  }

  expect_failures = [
    var.project_id,
    var.region,
    var.prefix,
    var.labels,
    var.public_members,
    var.poll_owners,
    var.ingress,
    var.runtime,
    var.source_root,
    var.job_image,
    var.job_command,
    var.gcloud,
    var.api_settle_seconds,
    var.access_settle_seconds,
    var.image_patch_days,
    var.region_vcpu,
    var.region_memory_gib,
    var.backups,
    var.kms_key,
    var.database_kms_key,
    var.log_retention_days,
    var.uptime_host,
    var.slo,
    var.pepper_secret,
    var.pepper_version,
    var.message_regions,
    var.database_location,
    var.functions,
    var.drain,
    var.schedules,
    var.notification_channels,
    var.alert_emails,
    var.alerts,
  ]
}

run "cpus" {
  command = plan

  variables {
    functions            = { vote = { cpu = 3 } }
    drain                = { cpu = 3 }
    audit                = { cpu = 3 }
    alerts               = { backlog_age_seconds = 30 }
    prefix               = "google-votes"
    job_image            = "europe-docker.pkg.dev/demo/images/turnout"
    ack_deadline_seconds = 20
    backups              = { weekly_kept_weeks = 15 }
  }

  expect_failures = [
    var.functions,
    var.drain,
    var.audit,
    var.alerts,
    var.prefix,
    var.job_image,
    var.ack_deadline_seconds,
    var.backups,
  ]
}

run "memory" {
  command = plan

  variables {
    functions                 = { vote = { memory_mib = 128 } }
    drain                     = { memory_mib = 256 }
    audit                     = { memory_mib = 256 }
    alerts                    = { persist_missed_seconds = 150 }
    prefix                    = "the-votes-of-everyone" # Too long for a service account.
    ack_deadline_seconds      = 200
    retry_backoff_max_seconds = 101 # Together longer than the longest lease.
  }

  expect_failures = [
    var.functions,
    var.drain,
    var.audit,
    var.alerts,
    var.prefix,
    var.retry_backoff_max_seconds,
  ]
}

run "workers" {
  command = plan

  variables {
    functions              = { vote = { workers = 17 } }
    drain                  = { tasks = 101 }
    audit                  = { timeout_seconds = 60 }
    message_retention_days = 32
  }

  expect_failures = [
    var.functions,
    var.drain,
    var.audit,
    var.message_retention_days,
  ]
}

run "concurrency_and_lanes" {
  command = plan

  variables {
    functions = { vote = { concurrency = 1001 } }
    drain     = { lanes = 257 }
  }

  expect_failures = [
    var.functions,
    var.drain,
  ]
}

run "most_instances_and_the_drains_timeout" {
  command = plan

  variables {
    functions = { vote = { max_instances = 0 } }
    drain     = { timeout_seconds = 60, idle_seconds = 20 }
  }

  expect_failures = [
    var.functions,
    var.drain,
  ]
}

run "least_instances_and_the_drains_idling" {
  command = plan

  variables {
    functions = { vote = { min_instances = 5, max_instances = 4 } }
    drain     = { timeout_seconds = 120, idle_seconds = 100 }
  }

  expect_failures = [
    var.functions,
    var.drain,
  ]
}

run "timeouts" {
  command = plan

  variables {
    functions = { persist = { timeout_seconds = 3600 } }
  }

  expect_failures = [var.functions]
}

run "least_instances_above_the_usual_most" {
  command = plan

  variables {
    functions = { polls = { min_instances = 3 } }
  }

  expect_failures = [google_cloudfunctions2_function.function]
}

run "cpu_and_memory_that_do_not_fit_too_little" {
  command = plan

  variables {
    functions = { vote = { cpu = 4, memory_mib = 1024 } }
    drain     = { cpu = 8, memory_mib = 2048 }
    audit     = { cpu = 4, memory_mib = 512 }
  }

  expect_failures = [
    var.functions,
    var.drain,
    var.audit,
  ]
}

run "cpu_and_memory_that_do_not_fit_too_much" {
  command = plan

  variables {
    functions = { vote = { cpu = 1, memory_mib = 8192 } }
    drain     = { cpu = 2, memory_mib = 8193 }
    audit     = { cpu = 1, memory_mib = 4097 }
  }

  expect_failures = [
    var.functions,
    var.drain,
    var.audit,
  ]
}

run "more_vcpu_than_the_region_gives" {
  command = plan

  variables {
    functions = { vote = { max_instances = 60 } }
  }

  expect_failures = [output.ceilings]
}

run "more_memory_than_the_region_gives" {
  command = plan

  variables {
    functions = { vote = { max_instances = 8, memory_mib = 4096 }, results = { memory_mib = 4096 } }
  }

  expect_failures = [output.ceilings]
}

run "as_much_as_the_quota_was_raised_to" {
  command = plan

  variables {
    functions   = { vote = { max_instances = 60 } }
    region_vcpu = 80
  }

  assert {
    condition     = output.ceilings.vcpu == 71 && output.ceilings.each.drain.vcpu == 5
    error_message = "The ceilings are 60 for vote, 3 for results, 1 each for polls, persist and audit, and 5 for the drain."
  }
}

run "budgets" {
  command = plan

  variables {
    budget = { billing_account = "mine", monthly = 0.5, currency = "dollars", at = [] }
  }

  expect_failures = [var.budget]
}

run "alerts_that_nobody_hears" {
  command = plan

  variables {
    alert_emails = []
    budget       = { billing_account = "012345-6789AB-CDEF01", monthly = 200 }
  }

  assert {
    condition     = length(google_billing_budget.turnout["month"].all_updates_rule) == 0
    error_message = "Without a channel a budget has no rule: an empty one is refused."
  }

  expect_failures = [check.somebody_hears_of_alerts]
}
