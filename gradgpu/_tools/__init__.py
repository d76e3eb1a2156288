"""Commands for those who work on gradgpu: compile table, benchmarks, GPU report. Nothing else imports them."""
