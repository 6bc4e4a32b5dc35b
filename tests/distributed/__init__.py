"""Several workers and triggerers that share a database, a queue and a bucket, and no disk."""
