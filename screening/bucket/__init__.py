"""The durable home of finished files: the folder of the instance, or a bucket that speaks S3."""
