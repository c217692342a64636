"""Running a case: inputs, training loop, evaluation, measurement, isolation."""
