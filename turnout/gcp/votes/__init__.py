"""The votes' ports on Google's services, and their wiring."""
