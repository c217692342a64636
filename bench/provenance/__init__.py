"""What made a result: its code, commit and machine, and whether a record still stands for them."""
