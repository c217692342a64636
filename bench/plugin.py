"""The glue between pytest and the harness."""
