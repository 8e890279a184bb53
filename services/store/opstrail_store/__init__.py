"""Write each enriched event into OpenSearch exactly once."""
