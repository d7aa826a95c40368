# Ceilings: what may run at once, held against what the region gives. As long as all of it fits, a flood of requests cannot
# take the drain's share.

locals {
  # How many executions of a job there are at once: one starts each minute, or each hour, and each may last its timeout.
  executions_at_once = {
    drain = ceil(var.drain.timeout_seconds / 60)
    audit = ceil(var.audit.timeout_seconds / 3600)
  }

  instances_at_once = merge(
    { for name, size in local.sizes : name => size.max_instances },
    { for name, job in local.jobs : name => job.size.parallelism * local.executions_at_once[name] },
  )

  size_of = merge(local.sizes, { for name, job in local.jobs : name => job.size })

  ceilings = {
    for name, instances in local.instances_at_once : name => {
      instances  = instances
      vcpu       = instances * local.size_of[name].cpu
      memory_gib = instances * local.size_of[name].memory_mib / 1024
    }
  }

  vcpu_ceiling       = sum([for ceiling in local.ceilings : ceiling.vcpu])
  memory_gib_ceiling = sum([for ceiling in local.ceilings : ceiling.memory_gib])
}

output "ceilings" {
  description = "What may run at once, by function and job: instances or tasks, vCPU and memory; their sums, and what the region gives."
  value = {
    each       = local.ceilings
    vcpu       = local.vcpu_ceiling
    memory_gib = local.memory_gib_ceiling
    region     = { vcpu = var.region_vcpu, memory_gib = var.region_memory_gib }
  }

  precondition {
    condition     = local.vcpu_ceiling <= var.region_vcpu
    error_message = "Functions and jobs may take ${local.vcpu_ceiling} vCPU at once (${join(", ", [for name, ceiling in local.ceilings : "${name} ${ceiling.vcpu}"])}), and the region gives ${var.region_vcpu}: the intake could starve the drain. Lower functions[*].max_instances, drain.tasks or drain.timeout_seconds; or have Cloud Run's quota of CPU raised and say so in region_vcpu."
  }

  precondition {
    condition     = local.memory_gib_ceiling <= var.region_memory_gib
    error_message = "Functions and jobs may take ${local.memory_gib_ceiling} GiB of memory at once (${join(", ", [for name, ceiling in local.ceilings : "${name} ${ceiling.memory_gib}"])}), and the region gives ${var.region_memory_gib}. Lower memory_mib or max_instances; or have Cloud Run's quota of memory raised and say so in region_memory_gib."
  }
}
