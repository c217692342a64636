"""What produced a result: code, commit and machine; and whether a record still matches them."""
