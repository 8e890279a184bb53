"""Say of each raw event who called, in which account, on which stack.

In: events.raw, events.reread; facts from stack-facts and accounts. Out: events.enriched,
events.repaired, dead letters; offsets move in the same transaction.
1. Facts (all of them, from the log's start) and the window (tail of events.enriched) are restored.
2. Before each batch newer facts are read; nothing is waited for: what it misses is repaired.
3. An event that the window holds is dropped; other content under its identity is a dead letter.
4. `enrich` is a pure function of event and facts; its bytes are appended, nothing is re-encoded.
5. Rereads are answered on events.repaired, and neither looked up nor recorded in the window.
"""
