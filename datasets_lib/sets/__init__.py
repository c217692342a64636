"""One file per dataset: its catalog entry, and its reader if its layout is unique."""
