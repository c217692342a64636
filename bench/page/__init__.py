"""The results as one HTML page with a page per case: no network, no server, no framework."""
