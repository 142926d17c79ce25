"""Many recordings in files to one Parquet table of answers: streaming, resumable, in several processes."""
