variable "project_id" {
  description = "The Google Cloud project to deploy to; it must have billing."
  type        = string
}

variable "region" {
  description = "Where functions, jobs and queue live."
  type        = string
  default     = "europe-west1"
}

variable "database_location" {
  description = "Where the databases live; a multi-region survives the loss of a region, at twice the price."
  type        = string
  default     = "eur3"
}

variable "prefix" {
  description = "What every name begins with."
  type        = string
  default     = "turnout"
}

variable "region_vcpu" {
  description = "How many vCPU the region gives this project: 20 in a new one."
  type        = number
  default     = 20
}

variable "domain" {
  description = "The name under which voters reach Turnout. Its A record must point to the output `address`."
  type        = string

  validation {
    condition     = can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]{2,}$", var.domain))
    error_message = "domain must be a full name in lower case, such as vote.example.com, without https:// and without a path."
  }
}

variable "poll_owners" {
  description = "Who may create, change and certify polls, as members such as group:election-office@example.com."
  type        = list(string)
}

variable "alert_emails" {
  description = "Addresses that alerts are mailed to."
  type        = list(string)

  validation {
    condition     = length(var.alert_emails) > 0
    error_message = "alert_emails must have at least one address: somebody must hear when votes wait."
  }
}

variable "requests_per_minute" {
  description = "How many requests one address may make in a minute, per function; beyond it, the answer is 429. Many voters may share an address: a company, a mobile network."
  type = object({
    vote    = optional(number, 600)
    results = optional(number, 1200)
    polls   = optional(number, 60)
  })
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for rate in values(var.requests_per_minute) : rate >= 1 && rate <= 10000 && floor(rate) == rate])
    error_message = "requests_per_minute must be whole numbers from 1 to 10000, Cloud Armor's most."
  }
}
