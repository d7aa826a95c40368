# One address for all functions, and a bound on what one caller may ask.

locals {
  # The function persist has no client but Cloud Scheduler.
  served = { for name, function in module.turnout.functions : name => function if name != "persist" }
}

resource "google_project_service" "compute" {
  project            = var.project_id
  service            = "compute.googleapis.com"
  disable_on_destroy = false
}

resource "google_compute_global_address" "turnout" {
  project = var.project_id
  name    = var.prefix

  depends_on = [google_project_service.compute]
}

resource "google_compute_region_network_endpoint_group" "function" {
  for_each = local.served

  project               = var.project_id
  region                = var.region
  name                  = "${var.prefix}-${each.key}"
  network_endpoint_type = "SERVERLESS"

  cloud_run {
    service = each.value.service
  }

  depends_on = [google_project_service.compute]
}

resource "google_compute_security_policy" "rate" {
  #checkov:skip=CKV_GCP_73:no Java runs behind it
  for_each = local.served

  project     = var.project_id
  name        = "${var.prefix}-${each.key}"
  description = "Bounds how often one address may call the function ${each.key}."

  rule {
    action      = "throttle"
    priority    = 1000
    description = "So many requests a minute, then 429."

    match {
      versioned_expr = "SRC_IPS_V1"

      config {
        src_ip_ranges = ["*"]
      }
    }

    rate_limit_options {
      conform_action = "allow"
      exceed_action  = "deny(429)"
      enforce_on_key = "IP"

      rate_limit_threshold {
        count        = var.requests_per_minute[each.key]
        interval_sec = 60
      }
    }
  }

  rule {
    action      = "allow"
    priority    = 2147483647
    description = "The rule that each policy ends with."

    match {
      versioned_expr = "SRC_IPS_V1"

      config {
        src_ip_ranges = ["*"]
      }
    }
  }

  depends_on = [google_project_service.compute]
}

resource "google_compute_backend_service" "function" {
  for_each = local.served

  project               = var.project_id
  name                  = "${var.prefix}-${each.key}"
  load_balancing_scheme = "EXTERNAL_MANAGED"
  protocol              = "HTTPS"
  security_policy       = google_compute_security_policy.rate[each.key].id

  backend {
    group = google_compute_region_network_endpoint_group.function[each.key].id
  }

  # A log of who voted at which moment, beside live totals, could tell a ballot.
  log_config {
    enable = each.key != "vote"
  }
}

resource "google_compute_url_map" "turnout" {
  project = var.project_id
  name    = var.prefix
  # It answers 404 to what nobody serves.
  default_service = google_compute_backend_service.function["results"].id

  host_rule {
    hosts        = [var.domain]
    path_matcher = "functions"
  }

  path_matcher {
    name            = "functions"
    default_service = google_compute_backend_service.function["results"].id

    dynamic "path_rule" {
      for_each = local.served
      content {
        # Each path, and everything below it.
        paths   = flatten([for path in path_rule.value.paths : [path, "${path}/*"]])
        service = google_compute_backend_service.function[path_rule.key].id
      }
    }
  }
}

resource "google_compute_managed_ssl_certificate" "turnout" {
  project = var.project_id
  # A certificate cannot change its domain: another domain gets another one, before the old one goes.
  name = "${var.prefix}-${substr(sha256(var.domain), 0, 8)}"

  managed {
    domains = [var.domain]
  }

  lifecycle {
    create_before_destroy = true
  }

  depends_on = [google_project_service.compute]
}

resource "google_compute_ssl_policy" "modern" {
  project         = var.project_id
  name            = var.prefix
  profile         = "MODERN"
  min_tls_version = "TLS_1_2"

  depends_on = [google_project_service.compute]
}

resource "google_compute_target_https_proxy" "turnout" {
  project          = var.project_id
  name             = var.prefix
  url_map          = google_compute_url_map.turnout.id
  ssl_certificates = [google_compute_managed_ssl_certificate.turnout.id]
  ssl_policy       = google_compute_ssl_policy.modern.id
}

resource "google_compute_global_forwarding_rule" "https" {
  project               = var.project_id
  name                  = "${var.prefix}-https"
  target                = google_compute_target_https_proxy.turnout.id
  ip_address            = google_compute_global_address.turnout.id
  port_range            = "443"
  load_balancing_scheme = "EXTERNAL_MANAGED"
}

# Plain HTTP is sent to HTTPS, and gets nothing else.

resource "google_compute_url_map" "to_https" {
  project = var.project_id
  name    = "${var.prefix}-to-https"

  default_url_redirect {
    https_redirect         = true
    redirect_response_code = "PERMANENT_REDIRECT"
    strip_query            = false
  }

  depends_on = [google_project_service.compute]
}

resource "google_compute_target_http_proxy" "to_https" {
  project = var.project_id
  name    = "${var.prefix}-to-https"
  url_map = google_compute_url_map.to_https.id
}

resource "google_compute_global_forwarding_rule" "http" {
  project               = var.project_id
  name                  = "${var.prefix}-http"
  target                = google_compute_target_http_proxy.to_https.id
  ip_address            = google_compute_global_address.turnout.id
  port_range            = "80"
  load_balancing_scheme = "EXTERNAL_MANAGED"
}
