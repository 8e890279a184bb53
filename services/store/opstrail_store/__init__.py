"""Write each enriched event into OpenSearch exactly once.

1. Take events (enriched, repaired), ledger rows and dead letters from their topics.
2. Make a document of each: the record's own text with `opstrail` spliced in, an index that follows
   from the event's time, an id that follows from its identity, a version that follows from facts.
3. Write them in bulk until each has a final verdict: stored, already there, conflict, rejected.
4. Commit offsets and dead letters together, over final verdicts only.

Must: wait while OpenSearch is away and lose nothing; never let an older version replace a newer
one; stop when OpenSearch refuses us. The whole spec: docs/services/store.md.
"""
