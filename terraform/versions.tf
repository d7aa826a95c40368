terraform {
  # 1.9: validations may speak of other variables, and tests mock providers.
  required_version = ">= 1.9"

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
  }
}
