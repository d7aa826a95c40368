# The examples are what a user copies: they must plan.

mock_provider "google" {
  mock_resource "google_storage_bucket" {
    defaults = { project_number = 123456789012 }
  }
}

run "minimal" {
  command = plan

  module {
    source = "./examples/minimal"
  }

  variables {
    project_id   = "demo-project"
    alert_emails = ["ada@example.com"]
  }


}

run "production" {
  command = plan

  module {
    source = "./examples/production"
  }

  variables {
    project_id   = "demo-project"
    domain       = "vote.example.com"
    poll_owners  = ["group:office@example.com"]
    alert_emails = ["ada@example.com"]
  }

  assert {
    condition     = toset(keys(local.served)) == toset(["vote", "results", "polls"])
    error_message = "The load balancer serves all functions but persist."
  }

  assert {
    condition = alltrue([
      for name, policy in google_compute_security_policy.rate :
      [for rule in policy.rule : rule.rate_limit_options[*].exceed_action if rule.action == "throttle"] == [tolist(["deny(429)"])]
    ])
    error_message = "Each function bounds how often one address may call it."
  }

  assert {
    condition = toset(flatten([for rule in google_compute_url_map.turnout.path_matcher[0].path_rule : rule.paths])) == toset([
      "/vote", "/vote/*", "/votes", "/votes/*", "/results", "/results/*", "/polls", "/polls/*",
    ])
    error_message = "The load balancer knows every path of the public functions and of polls."
  }

  assert {
    condition     = google_compute_url_map.to_https.default_url_redirect[0].https_redirect
    error_message = "Plain HTTP must be sent to HTTPS."
  }
}

run "team" {
  command = plan

  module {
    source = "./examples/team"
  }

  variables {
    project_id   = "demo-project"
    poll_owners  = ["group:office@example.com"]
    alert_emails = ["ada@example.com"]
    budget       = { billing_account = "012345-6789AB-CDEF01", monthly = 200 }
  }
}

run "bootstrap" {
  command = plan

  module {
    source = "./examples/team/bootstrap"
  }

  variables {
    project_id    = "demo-project"
    repository    = "example/elections"
    repository_id = "123456"
  }

  assert {
    condition = alltrue([
      for claim in ["assertion.repository_id == '123456'", "assertion.sub == 'repo:example/elections:environment:production'", "assertion.ref == 'refs/heads/main'"] :
      strcontains(google_iam_workload_identity_pool_provider.github.attribute_condition, claim)
    ])
    error_message = "One repository's workflows on one branch may deploy, and nobody else's."
  }

  assert {
    condition     = google_storage_bucket.state.versioning[0].enabled && google_storage_bucket.state.public_access_prevention == "enforced"
    error_message = "An older state can be brought back, and nobody outside may read one."
  }
}

run "bootstrap_wants_a_repository" {
  command = plan

  module {
    source = "./examples/team/bootstrap"
  }

  variables {
    project_id    = "demo-project"
    repository    = "https://github.com/example/elections"
    repository_id = "elections"
    branch        = "main'"
    environment   = "*"
  }

  expect_failures = [var.repository, var.repository_id, var.branch, var.environment]
}

run "production_wants_a_name_not_an_address" {
  command = plan

  module {
    source = "./examples/production"
  }

  variables {
    project_id          = "demo-project"
    domain              = "https://vote.example.com/"
    poll_owners         = []
    alert_emails        = []
    requests_per_minute = { vote = 0 }
  }

  expect_failures = [
    var.domain,
    var.alert_emails,
    var.requests_per_minute,
  ]
}
