"""`turnout doctor --deployed`: what a deployed copy lacks, seen from the outside, and the mend of each fault."""
