"""One file a dataset: its catalog entry, and its reader where its layout is its own."""
