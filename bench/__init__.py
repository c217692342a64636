"""The harness: how a case is described, run, measured, stored and judged. Importing it is cheap."""
