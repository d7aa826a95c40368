"""The deployed system as a discrete simulation: what a million votes a second take, and which limit comes first."""
