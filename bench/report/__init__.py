"""Tables, verdicts and the leaderboard: pure functions of records."""
