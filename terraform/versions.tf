terraform {
  # 1.11: the pepper is an ephemeral value, written and never kept.
  required_version = ">= 1.11"

  required_providers {
    google = {
      source = "hashicorp/google"
      # 7.46 has deletion_policy on all of Pub/Sub; what is used here is the same in 8.
      version = ">= 7.46, < 9.0"
    }
    archive = {
      source  = "hashicorp/archive"
      version = ">= 2.4, < 3.0"
    }
    random = {
      source = "hashicorp/random"
      # Ephemeral passwords.
      version = ">= 3.7, < 4.0"
    }
    time = {
      source  = "hashicorp/time"
      version = ">= 0.12, < 1.0"
    }
  }
}
