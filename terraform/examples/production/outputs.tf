output "address" {
  description = "Point the domain's A record here; the certificate follows by itself, within an hour."
  value       = google_compute_global_address.turnout.address
}

output "url" {
  description = "What voters and readers call, and TURNOUT_URL for the command line."
  value       = "https://${var.domain}"
}

output "environment" {
  description = "The environment in which the command line works on it."
  value       = "${module.turnout.environment}\nexport TURNOUT_URL=https://${var.domain}"
}

output "dashboard" {
  description = "Where to watch."
  value       = module.turnout.dashboard
}
