"""Tasks: work to be done now, later, and again when it failed; its rules, and the verbs over ports."""
