"""From records to the numbers of a table: rows, intervals, tests, published values, Markdown."""
