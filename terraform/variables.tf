# What a copy of Turnout is told. Each ceiling states what it bounds; README.md says what it costs.

variable "project_id" {
  description = "The Google Cloud project to deploy to; it must have billing."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id must be a project's id (6 to 30 lower-case letters, digits and hyphens, as `gcloud projects list` shows it), not its name or number."
  }
}

variable "region" {
  description = "The region of everything: functions, jobs, queue, schedules, sources and, unless database_location says otherwise, the databases."
  type        = string
  default     = "europe-west1"

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region must be a region such as europe-west1 or us-central1, not a zone or a multi-region; a multi-region for the databases goes into database_location."
  }
}

variable "prefix" {
  description = "What every name begins with. A second copy in one project needs another prefix."
  type        = string
  default     = "turnout"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,16}[a-z0-9]$", var.prefix)) && !startswith(var.prefix, "goog")
    error_message = "prefix must have 3 to 18 lower-case letters, digits and hyphens, begin with a letter, not end with a hyphen, and not begin with goog: service accounts and topics allow no more."
  }
}

variable "labels" {
  description = "Labels for everything that can bear them, beside `turnout = <prefix>`."
  type        = map(string)
  default     = {}

  validation {
    condition = length(var.labels) <= 60 && alltrue([
      for key, value in var.labels :
      can(regex("^[a-z][a-z0-9_-]{0,62}$", key)) && can(regex("^[a-z0-9_-]{0,63}$", value))
    ])
    error_message = "labels must be at most 60, with keys of 1 to 63 lower-case letters, digits, _ and - that begin with a letter, and values of at most 63 of the same."
  }
}

# Who may do what.

variable "public_members" {
  description = "Who may call the public functions (vote, results). An empty list closes them to all but your own grants."
  type        = list(string)
  default     = ["allUsers"]

  validation {
    condition = alltrue([
      for member in var.public_members :
      can(regex("^(allUsers|allAuthenticatedUsers|(user|group|serviceAccount|domain|principal|principalSet):.+)$", member))
    ])
    error_message = "public_members must be allUsers, allAuthenticatedUsers, or members with their kind, such as group:voters@example.com."
  }
}

variable "invoker_check_disabled" {
  description = "Whether the public functions leave out IAM's question who calls, instead of granting public_members: for organisations whose policy (domain-restricted sharing) refuses allUsers."
  type        = bool
  default     = false
  nullable    = false
}

variable "poll_owners" {
  description = "Who may create, change and certify polls: members that may call the private function polls."
  type        = list(string)
  default     = []

  validation {
    condition = alltrue([
      for member in var.poll_owners :
      can(regex("^(user|group|serviceAccount|domain|principal|principalSet):.+$", member))
    ])
    error_message = "poll_owners must be members with their kind, such as user:ada@example.com; the polls are never open to everyone."
  }
}

variable "ingress" {
  description = "Where calls of the functions vote, results and polls may come from: ALLOW_ALL, or ALLOW_INTERNAL_AND_GCLB when a load balancer stands in front. The function persist is always internal."
  type        = string
  default     = "ALLOW_ALL"

  validation {
    condition     = contains(["ALLOW_ALL", "ALLOW_INTERNAL_AND_GCLB"], var.ingress)
    error_message = "ingress must be ALLOW_ALL, or ALLOW_INTERNAL_AND_GCLB with a load balancer in front."
  }
}

# What is built.

variable "runtime" {
  description = "The Python of functions and jobs. requirements.txt locks files for all of these."
  type        = string
  default     = "python313"

  validation {
    condition     = contains(["python311", "python312", "python313", "python314"], var.runtime)
    error_message = "runtime must be python311, python312, python313 or python314: Turnout needs Python 3.11 or newer."
  }
}

variable "source_root" {
  description = "The folder with functions/, jobs/, turnout/ and requirements.txt; empty: the folder that this module lies in."
  type        = string
  default     = ""

  validation {
    condition     = var.source_root == "" || fileexists("${var.source_root}/functions/main.py")
    error_message = "source_root must be the folder of a Turnout checkout: it has no functions/main.py."
  }
}

variable "job_image" {
  description = "An image for the jobs, by tag or digest; empty: Cloud Build makes it from the same sources as the functions."
  type        = string
  default     = ""

  validation {
    condition     = var.job_image == "" || (can(regex("^[^/]+/.+(:[^:/@]+|@sha256:[0-9a-f]{64})$", var.job_image)) && !endswith(var.job_image, ":latest"))
    error_message = "job_image must name a registry and a fixed tag or digest, such as europe-docker.pkg.dev/p/r/jobs:1.2.0; latest would deploy something else each time."
  }
}

variable "job_command" {
  description = "What runs Python in the jobs' image, before `-m jobs.<name>`. The default suits images made by buildpacks; one made by a Dockerfile wants [\"python\"]."
  type        = list(string)
  default     = ["/cnb/lifecycle/launcher", "--", "python"]

  validation {
    condition     = length(var.job_command) > 0 && alltrue([for word in var.job_command : trimspace(word) != ""])
    error_message = "job_command must have at least one word, such as [\"python\"], and no empty ones."
  }
}

variable "gcloud" {
  description = "The gcloud that submits the image's build and asks for Google's own identities: a name on the PATH, or a path."
  type        = string
  default     = "gcloud"

  validation {
    condition     = can(regex("^[A-Za-z0-9_./~+-]+$", var.gcloud))
    error_message = "gcloud must be a name or a path without spaces, such as gcloud or ~/google-cloud-sdk/bin/gcloud."
  }
}

variable "api_settle_seconds" {
  description = "How long APIs that an apply has enabled are given until they answer everywhere. Applies that enable none do not wait."
  type        = number
  default     = 90

  validation {
    condition     = var.api_settle_seconds >= 0 && var.api_settle_seconds <= 600 && floor(var.api_settle_seconds) == var.api_settle_seconds
    error_message = "api_settle_seconds must be whole seconds from 0 to 600; below 60 the first apply may fail with SERVICE_DISABLED and must be repeated."
  }
}

variable "image_patch_days" {
  description = "The first apply after so many days builds the jobs' image anew, so that its system gets patches. Functions get them by themselves."
  type        = number
  default     = 30

  validation {
    condition     = var.image_patch_days >= 1 && var.image_patch_days <= 365 && floor(var.image_patch_days) == var.image_patch_days
    error_message = "image_patch_days must be whole days from 1 to 365."
  }
}

variable "access_settle_seconds" {
  description = "How long a new grant is given to reach all of Google's IAM before what needs it is made. Applies that change no grant do not wait."
  type        = number
  default     = 90

  validation {
    condition     = var.access_settle_seconds >= 0 && var.access_settle_seconds <= 600 && floor(var.access_settle_seconds) == var.access_settle_seconds
    error_message = "access_settle_seconds must be whole seconds from 0 to 600; below 60 the first apply may fail and must be repeated."
  }
}

# The pepper.

variable "pepper_secret" {
  description = "The id of a Secret Manager secret of this project that holds the pepper (at least 16 bytes); empty: the module makes one, with a random value that no plan and no state holds."
  type        = string
  default     = ""

  validation {
    condition     = var.pepper_secret == "" || can(regex("^[A-Za-z0-9_-]{1,255}$", var.pepper_secret))
    error_message = "pepper_secret must be the short id of a secret in this project, such as voters-pepper, not its full name and not the pepper itself."
  }
}

variable "pepper_version" {
  description = "The version of the pepper's secret. Another one means other keys: whoever has voted in an open poll could vote again."
  type        = string
  default     = "1"

  validation {
    condition     = can(regex("^[1-9][0-9]*$", var.pepper_version))
    error_message = "pepper_version must be a version's number, such as 1; latest would change the voters' keys in the middle of a poll."
  }
}

# The queue.

variable "ack_deadline_seconds" {
  description = "How long a lease of a message lasts unless the drain extends it."
  type        = number
  default     = 60

  validation {
    condition     = var.ack_deadline_seconds >= 30 && var.ack_deadline_seconds <= 240 && floor(var.ack_deadline_seconds) == var.ack_deadline_seconds
    error_message = "ack_deadline_seconds must be whole seconds from 30 to 240: above one commit attempt (20 s), and with the retry back-off within the longest lease (300 s)."
  }
}

variable "retry_backoff_max_seconds" {
  description = "The longest wait before a released message is delivered again; the first is 10 s. It holds the 100 delivery attempts for a long outage, and delays certification by as much."
  type        = number
  default     = 60

  validation {
    condition     = var.retry_backoff_max_seconds >= 10 && floor(var.retry_backoff_max_seconds) == var.retry_backoff_max_seconds && var.retry_backoff_max_seconds + var.ack_deadline_seconds <= 300
    error_message = "retry_backoff_max_seconds must be whole seconds from 10, and with ack_deadline_seconds at most 300: certification waits for both, and knows of no longer lease."
  }
}

variable "message_retention_days" {
  description = "How long an unread message waits in the queue. The ledger's entries outlive it."
  type        = number
  default     = 7

  validation {
    condition     = var.message_retention_days >= 1 && var.message_retention_days <= 31 && floor(var.message_retention_days) == var.message_retention_days
    error_message = "message_retention_days must be whole days from 1 to 31, Pub/Sub's longest."
  }
}

variable "message_regions" {
  description = "The regions in which Pub/Sub may store messages; empty: the module's region alone."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for region in var.message_regions : can(regex("^[a-z]+-[a-z]+[0-9]+$", region))])
    error_message = "message_regions must be regions such as europe-west1."
  }
}

# The databases.

variable "database_location" {
  description = "Where both databases live: a region or a multi-region (eur3, nam5); empty: the module's region. It can never be changed."
  type        = string
  default     = ""

  validation {
    condition     = var.database_location == "" || can(regex("^([a-z]+-[a-z]+[0-9]+|[a-z]+[0-9]+)$", var.database_location))
    error_message = "database_location must be a region such as europe-west1, or a multi-region such as eur3 or nam5."
  }
}

variable "backups" {
  description = "How long backups of both databases are kept: those made each day, and those made each Sunday."
  type = object({
    daily_kept_days   = optional(number, 7)
    weekly_kept_weeks = optional(number, 8)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.backups.daily_kept_days >= 1 && var.backups.daily_kept_days <= 98 && floor(var.backups.daily_kept_days) == var.backups.daily_kept_days
    error_message = "backups.daily_kept_days must be whole days from 1 to 98: Firestore keeps a backup for 14 weeks at most."
  }

  validation {
    condition     = var.backups.weekly_kept_weeks >= 1 && var.backups.weekly_kept_weeks <= 14 && floor(var.backups.weekly_kept_weeks) == var.backups.weekly_kept_weeks
    error_message = "backups.weekly_kept_weeks must be whole weeks from 1 to 14, Firestore's most."
  }
}

variable "kms_key" {
  description = "A key of yours (CMEK) for topics, sources, images, functions, jobs, pepper and log bucket, in the module's region; empty: Google's own keys. Google's identities must be allowed to use it first: README.md names them."
  type        = string
  default     = ""

  validation {
    condition     = var.kms_key == "" || can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", var.kms_key))
    error_message = "kms_key must be a key's full name, projects/<project>/locations/<region>/keyRings/<ring>/cryptoKeys/<key>, without a version."
  }
}

variable "database_kms_key" {
  description = "A key of yours for both databases, in their location (europe for eur3, us for nam5); it can never be changed."
  type        = string
  default     = ""

  validation {
    condition     = var.database_kms_key == "" || can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", var.database_kms_key))
    error_message = "database_kms_key must be a key's full name, projects/<project>/locations/<location>/keyRings/<ring>/cryptoKeys/<key>, without a version."
  }
}

variable "allow_destroy_data" {
  description = "Whether databases, queue and pepper may be destroyed. Without it a destroy changes nothing. Apply with true first, then destroy."
  type        = bool
  default     = false
  nullable    = false
}

# Scale and its ceilings.

variable "region_vcpu" {
  description = "How many vCPU the region gives this project's services and jobs at once: 20 in a new project. A plan whose ceilings need more is refused."
  type        = number
  default     = 20

  validation {
    condition     = var.region_vcpu >= 1
    error_message = "region_vcpu must be the quota \"Total CPU allocation, in milli vCPU, per project per region\" of Cloud Run, in whole vCPU."
  }
}

variable "region_memory_gib" {
  description = "How much memory it gives them at once, in GiB: 40 in a new project."
  type        = number
  default     = 40

  validation {
    condition     = var.region_memory_gib >= 1
    error_message = "region_memory_gib must be the quota \"Total memory allocation, in bytes, per project per region\" of Cloud Run, in GiB."
  }
}

variable "functions" {
  description = "Sizes of the functions vote, results, polls and persist, where they differ from the defaults (README.md has them). `max_instances` bounds the cost, `concurrency` is the requests that one instance answers at once, `workers` its processes."
  type = map(object({
    cpu             = optional(number)
    memory_mib      = optional(number)
    workers         = optional(number)
    concurrency     = optional(number)
    min_instances   = optional(number)
    max_instances   = optional(number)
    timeout_seconds = optional(number)
  }))
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for name in keys(var.functions) : contains(["vote", "results", "polls", "persist"], name)])
    error_message = "functions must have keys among vote, results, polls and persist."
  }

  validation {
    condition     = alltrue([for size in values(var.functions) : contains([1, 2, 4, 8], coalesce(size.cpu, 1))])
    error_message = "functions[*].cpu must be 1, 2, 4 or 8: with less than one CPU an instance answers one request at a time."
  }

  validation {
    condition = alltrue([
      for size in values(var.functions) :
      coalesce(size.memory_mib, 512) >= 256 && coalesce(size.memory_mib, 512) <= 32768 && floor(coalesce(size.memory_mib, 512)) == coalesce(size.memory_mib, 512)
    ])
    error_message = "functions[*].memory_mib must be whole MiB from 256 to 32768."
  }

  # https://cloud.google.com/run/docs/configuring/services/memory-limits
  validation {
    condition = alltrue([
      for size in values(var.functions) :
      coalesce(size.memory_mib, 512) >= lookup({ "4" = 2048, "8" = 4096 }, tostring(coalesce(size.cpu, 1)), 0) &&
      coalesce(size.memory_mib, 512) <= 4096 * coalesce(size.cpu, 1)
    ])
    error_message = "functions[*]: cpu and memory_mib must fit: 1 vCPU takes at most 4096 MiB, 2 take at most 8192, 4 want 2048 to 16384, 8 want 4096 to 32768. Without memory_mib it is 512."
  }

  validation {
    condition = alltrue([
      for size in values(var.functions) :
      coalesce(size.workers, 1) >= 1 && coalesce(size.workers, 1) <= 16 && floor(coalesce(size.workers, 1)) == coalesce(size.workers, 1)
    ])
    error_message = "functions[*].workers must be 1 to 16; one for each CPU is enough."
  }

  validation {
    condition = alltrue([
      for size in values(var.functions) :
      coalesce(size.concurrency, 1) >= 1 && coalesce(size.concurrency, 1) <= 1000 && floor(coalesce(size.concurrency, 1)) == coalesce(size.concurrency, 1)
    ])
    error_message = "functions[*].concurrency must be 1 to 1000, Cloud Run's most."
  }

  validation {
    condition = alltrue([
      for size in values(var.functions) :
      coalesce(size.max_instances, 1) >= 1 && coalesce(size.max_instances, 1) <= 1000 && floor(coalesce(size.max_instances, 1)) == coalesce(size.max_instances, 1)
    ])
    error_message = "functions[*].max_instances must be 1 to 1000: it is the ceiling of the cost, so there is always one."
  }

  validation {
    condition = alltrue([
      for size in values(var.functions) :
      try(size.min_instances, null) == null ? true : size.min_instances >= 0 && floor(size.min_instances) == size.min_instances && size.min_instances <= coalesce(size.max_instances, 1000)
    ])
    error_message = "functions[*].min_instances must be 0 or more, and not above max_instances."
  }

  validation {
    condition = alltrue([
      for size in values(var.functions) :
      coalesce(size.timeout_seconds, 60) >= 15 && coalesce(size.timeout_seconds, 60) <= 1800 && floor(coalesce(size.timeout_seconds, 60)) == coalesce(size.timeout_seconds, 60)
    ])
    error_message = "functions[*].timeout_seconds must be 15 to 1800, the range of Cloud Scheduler's attempt deadline; a vote's publish alone may take 10."
  }
}

variable "drain" {
  description = "The drain's size. An execution has `tasks` tasks, `parallelism` of them at once (null: all), each with `lanes` lanes. Executions overlap under load: at most parallelism x ceil(timeout_seconds / 60) tasks run at once, which is the ceiling of the cost."
  type = object({
    tasks           = optional(number, 1)
    parallelism     = optional(number)
    lanes           = optional(number, 8)
    cpu             = optional(number, 1)
    memory_mib      = optional(number, 512)
    timeout_seconds = optional(number, 300)
    idle_seconds    = optional(number, 50)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.drain.tasks >= 1 && var.drain.tasks <= 100 && floor(var.drain.tasks) == var.drain.tasks
    error_message = "drain.tasks must be 1 to 100."
  }

  validation {
    condition     = var.drain.parallelism == null ? true : var.drain.parallelism >= 1 && var.drain.parallelism <= var.drain.tasks && floor(var.drain.parallelism) == var.drain.parallelism
    error_message = "drain.parallelism must be 1 to drain.tasks, or null for all tasks at once."
  }

  validation {
    condition     = var.drain.lanes >= 1 && var.drain.lanes <= 256 && floor(var.drain.lanes) == var.drain.lanes
    error_message = "drain.lanes must be 1 to 256."
  }

  validation {
    condition     = contains([1, 2, 4, 8], var.drain.cpu)
    error_message = "drain.cpu must be 1, 2, 4 or 8."
  }

  validation {
    condition     = var.drain.memory_mib >= 512 && var.drain.memory_mib <= 32768 && floor(var.drain.memory_mib) == var.drain.memory_mib
    error_message = "drain.memory_mib must be whole MiB from 512, Cloud Run's least for jobs, to 32768."
  }

  validation {
    condition = (
      var.drain.memory_mib >= lookup({ "4" = 2048, "8" = 4096 }, tostring(var.drain.cpu), 0) &&
      var.drain.memory_mib <= 4096 * var.drain.cpu
    )
    error_message = "drain: cpu and memory_mib must fit: 1 vCPU takes at most 4096 MiB, 2 take at most 8192, 4 want 2048 to 16384, 8 want 4096 to 32768."
  }

  validation {
    condition     = var.drain.timeout_seconds >= 120 && var.drain.timeout_seconds <= 86400 && floor(var.drain.timeout_seconds) == var.drain.timeout_seconds
    error_message = "drain.timeout_seconds must be whole seconds from 120 to 86400."
  }

  validation {
    condition     = var.drain.idle_seconds >= 5 && var.drain.idle_seconds <= var.drain.timeout_seconds - 30
    error_message = "drain.idle_seconds must be at least 5, and leave 30 s of drain.timeout_seconds to count in."
  }
}

variable "audit" {
  description = "The audit's size: one task that reads, and may take `timeout_seconds`."
  type = object({
    cpu             = optional(number, 1)
    memory_mib      = optional(number, 512)
    timeout_seconds = optional(number, 1800)
  })
  default  = {}
  nullable = false

  validation {
    condition     = contains([1, 2, 4, 8], var.audit.cpu)
    error_message = "audit.cpu must be 1, 2, 4 or 8."
  }

  validation {
    condition     = var.audit.memory_mib >= 512 && var.audit.memory_mib <= 32768 && floor(var.audit.memory_mib) == var.audit.memory_mib
    error_message = "audit.memory_mib must be whole MiB from 512, Cloud Run's least for jobs, to 32768."
  }

  validation {
    condition = (
      var.audit.memory_mib >= lookup({ "4" = 2048, "8" = 4096 }, tostring(var.audit.cpu), 0) &&
      var.audit.memory_mib <= 4096 * var.audit.cpu
    )
    error_message = "audit: cpu and memory_mib must fit: 1 vCPU takes at most 4096 MiB, 2 take at most 8192, 4 want 2048 to 16384, 8 want 4096 to 32768."
  }

  validation {
    condition     = var.audit.timeout_seconds >= 120 && var.audit.timeout_seconds <= 86400 && floor(var.audit.timeout_seconds) == var.audit.timeout_seconds
    error_message = "audit.timeout_seconds must be whole seconds from 120 to 86400."
  }
}

variable "schedules" {
  description = "When Cloud Scheduler calls, as cron lines in UTC."
  type = object({
    persist = optional(string, "* * * * *")
    drain   = optional(string, "* * * * *")
    audit   = optional(string, "17 * * * *")
  })
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for line in values(var.schedules) : can(regex("^[0-9*/,-]+( [0-9A-Za-z*/,-]+){4}$", line))])
    error_message = "schedules must be cron lines of five fields, such as \"* * * * *\" or \"17 * * * *\"."
  }
}

variable "schedules_paused" {
  description = "Whether the schedules rest: between polls nothing runs then, and nothing is counted or persisted."
  type        = bool
  default     = false
  nullable    = false
}

# Watching.

variable "log_votes_requests" {
  description = "Whether Cloud Run's own log of the requests to vote is kept. It has each voter's address and moment, which beside live totals may tell a choice, and costs more than the counting. Failed requests are always kept."
  type        = bool
  default     = false
  nullable    = false
}

variable "log_retention_days" {
  description = "How long Turnout's lines are kept in a log bucket of their own; 0: in the project's default bucket alone, for 30 days."
  type        = number
  default     = 0

  validation {
    condition     = var.log_retention_days >= 0 && var.log_retention_days <= 3650 && floor(var.log_retention_days) == var.log_retention_days
    error_message = "log_retention_days must be whole days from 1 to 3650, or 0 for no bucket of its own."
  }
}

variable "uptime_host" {
  description = "The host that Google's uptime check asks for results: a load balancer's, where the functions are reached through it alone; empty: the function's own, unless it is closed."
  type        = string
  default     = ""

  validation {
    condition     = var.uptime_host == "" || can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]{2,}$", var.uptime_host))
    error_message = "uptime_host must be a full host name such as vote.example.com, without https:// and without a path."
  }
}

variable "slo" {
  description = "What share of the votes' requests must not be answered with 5xx over 30 days. Alerts follow from how fast the rest is used up."
  type        = number
  default     = 0.999

  validation {
    condition     = var.slo >= 0.9 && var.slo <= 0.9999
    error_message = "slo must be between 0.9 and 0.9999, such as 0.999 for one failed request in a thousand."
  }
}

variable "notification_channels" {
  description = "Monitoring channels that alerts go to, as projects/<project>/notificationChannels/<id>."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for channel in var.notification_channels : can(regex("^projects/[^/]+/notificationChannels/[^/]+$", channel))])
    error_message = "notification_channels must be full names such as projects/my-project/notificationChannels/123, as `gcloud beta monitoring channels list` shows them."
  }
}

variable "alert_emails" {
  description = "Addresses that alerts are mailed to; the module makes a channel for each."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for address in var.alert_emails : can(regex("^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$", address))])
    error_message = "alert_emails must be mail addresses such as ada@example.com."
  }
}

variable "budget" {
  description = "What a month of the project may cost before somebody hears of it: the billing account (012345-6789AB-CDEF01), the amount in whole units of the account's own currency, and the shares at which to tell. Null: no budget. It tells, and stops nothing."
  type = object({
    billing_account = string
    monthly         = number
    currency        = optional(string, "USD")
    at              = optional(list(number), [0.5, 0.9, 1])
  })
  default = null

  validation {
    condition     = var.budget == null ? true : can(regex("^[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}$", var.budget.billing_account))
    error_message = "budget.billing_account must be the account's id, such as 012345-6789AB-CDEF01, as `gcloud billing accounts list` shows it."
  }

  validation {
    condition     = var.budget == null ? true : var.budget.monthly >= 1 && floor(var.budget.monthly) == var.budget.monthly
    error_message = "budget.monthly must be a whole amount of at least 1."
  }

  validation {
    condition     = var.budget == null ? true : can(regex("^[A-Z]{3}$", var.budget.currency))
    error_message = "budget.currency must be the billing account's own, as three letters such as USD or EUR: another one is refused."
  }

  validation {
    condition     = var.budget == null ? true : length(var.budget.at) > 0 && alltrue([for share in var.budget.at : share > 0 && share <= 10])
    error_message = "budget.at must be shares above 0, such as [0.5, 0.9, 1] for half of it, nine tenths, and all."
  }
}

variable "alerts" {
  description = "When alerts are raised: the age of the oldest message that was not counted, the share of answers that are 5xx, and how long nothing was persisted."
  type = object({
    backlog_age_seconds    = optional(number, 300)
    server_error_share     = optional(number, 0.01)
    persist_missed_seconds = optional(number, 900)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.alerts.backlog_age_seconds >= 60 && var.alerts.backlog_age_seconds <= var.message_retention_days * 86400 / 2
    error_message = "alerts.backlog_age_seconds must be at least 60, and at most half of the messages' retention: after that they are lost."
  }

  validation {
    condition     = var.alerts.server_error_share > 0 && var.alerts.server_error_share < 1
    error_message = "alerts.server_error_share must be between 0 and 1, such as 0.01 for one in a hundred."
  }

  validation {
    condition     = var.alerts.persist_missed_seconds >= 180 && var.alerts.persist_missed_seconds <= 84600 && var.alerts.persist_missed_seconds % 60 == 0
    error_message = "alerts.persist_missed_seconds must be full minutes from 180 to 84600 seconds, Monitoring's range for an absence."
  }
}
