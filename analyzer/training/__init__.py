"""What training libraries do to dtypes: FSDP's units, the dtypes in which an optimizer updates; without torch."""
