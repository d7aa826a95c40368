# What a month may cost before somebody hears of it. A budget stops nothing: the ceilings do (sizes.tf).

locals {
  budgets = var.budget == null ? {} : { month = var.budget }
}

resource "google_billing_budget" "turnout" {
  for_each = local.budgets

  billing_account = each.value.billing_account
  display_name    = "${var.prefix}: ${each.key}"

  budget_filter {
    projects        = ["projects/${local.project_number}"]
    calendar_period = "MONTH"
  }

  amount {
    specified_amount {
      currency_code = each.value.currency
      units         = tostring(each.value.monthly)
    }
  }

  dynamic "threshold_rules" {
    for_each = each.value.at
    content {
      threshold_percent = threshold_rules.value
    }
  }

  # What the month will have cost, by what it cost so far.
  threshold_rules {
    threshold_percent = 1
    spend_basis       = "FORECASTED_SPEND"
  }

  # Five are the most that a budget takes, and none is no rule; the account's billing administrators are mailed in any case.
  dynamic "all_updates_rule" {
    for_each = length(local.notification_channels) > 0 ? [slice(local.notification_channels, 0, min(5, length(local.notification_channels)))] : []
    content {
      monitoring_notification_channels = all_updates_rule.value
    }
  }

  depends_on = [time_sleep.apis]
}
