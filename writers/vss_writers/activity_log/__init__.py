"""A bystander: an application without a writer that keeps appending to a log, so that holds have something to hold."""
